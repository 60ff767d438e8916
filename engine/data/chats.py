"""Chats and preferences: messages in one form, whatever form the file has."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from engine.data.texts import LineError, normalise

Message = dict[str, Any]  # role, content, and what an assistant or a tool adds

CHATS = ("messages", "conversations", "conversation", "dialog", "dialogue")
CHOSEN, REJECTED = "chosen", "rejected"
PROMPTS = ("prompt", "question", "instruction", "query")  # of a preference, beside chosen and rejected
MESSAGES_LIMIT = 1000
# Names of roles in public data sets -> the role here.
ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot", "bing", "bard", "function_call"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "observation", "ipython"), "tool"),
}  # fmt: skip
ANSWER_ROLE = "assistant"
KEPT_FIELDS = ("name", "tool_calls", "tool_call_id", "reasoning_content", "thinking", "weight")
HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"  # turns of a transcript written as one text


def chat_field(values: dict[str, Any]) -> str | None:
    """Return the name of the field that holds a list of messages; None if no field does."""
    return next((name for name in CHATS if isinstance(values.get(name), list)), None)


def parse_chat(values: dict[str, Any], name: str) -> tuple[str, tuple[str, ...]]:
    """Return the chat of a record as JSON, and the fields that were read. Raises LineError."""
    messages = parse_messages(values[name], name)
    used = [name]
    system = values.get("system")
    if isinstance(system, str):
        used.append("system")
        if system.strip() and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": normalise(system)})
    if not any(is_trained(message) for message in messages):
        raise LineError(f"its {name} have no answer of the assistant")
    chat: dict[str, Any] = {"messages": messages}
    if tools := values.get("tools"):
        chat["tools"] = _parse_tools(tools)
        used.append("tools")
    return dump_chat(chat), tuple(used)


def parse_preference(values: dict[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """Return the prompt, and the chosen and the rejected answer, as JSON; and the fields that were read.

    Raises LineError.
    """
    chosen, rejected = (_preferred(values[side], side) for side in (CHOSEN, REJECTED))
    used = [CHOSEN, REJECTED]
    asked = next((name for name in PROMPTS if isinstance(values.get(name), str | list)), None) or chat_field(
        values
    )
    prompt: list[Message] = []
    if asked is not None:
        used.append(asked)
        asked_for = values[asked]
        prompt = (
            [{"role": "user", "content": _text(asked_for, asked)}]
            if isinstance(asked_for, str)
            else parse_messages(asked_for, asked)
        )
    if isinstance(values.get("system"), str):
        used.append("system")
        if values["system"].strip() and (not prompt or prompt[0]["role"] != "system"):
            prompt.insert(0, {"role": "system", "content": normalise(values["system"])})
    prompt, answers = _split_prompt(prompt, chosen, rejected)
    if not prompt:
        raise LineError("it has no prompt before its chosen and rejected answers")
    if answers[0] == answers[1]:
        raise LineError("its chosen and rejected answers are equal")
    pair = {CHOSEN: answers[0], REJECTED: answers[1]}
    return dump_chat({"messages": prompt}), json.dumps(pair, ensure_ascii=False, sort_keys=True), tuple(used)


def parse_messages(found: Any, name: str) -> list[Message]:
    """Return messages in the form here. Raises LineError."""
    if not isinstance(found, list) or not found:
        raise LineError(f"its {name} are no list of messages")
    if len(found) > MESSAGES_LIMIT:
        raise LineError(f"it has {len(found):,} messages; the limit is {MESSAGES_LIMIT:,}")
    return [_parse_message(one, number) for number, one in enumerate(found, 1)]


def is_trained(message: Message) -> bool:
    """Whether a message is an answer to learn; a weight of 0 takes one out, as in OpenAI's format."""
    return message["role"] == ANSWER_ROLE and message.get("weight", 1) != 0


def dump_chat(chat: dict[str, Any]) -> str:
    return json.dumps(chat, ensure_ascii=False, sort_keys=True)


def show_chat(text: str) -> str:
    """A chat as text to read: role, colon, content."""
    return "\n".join(_shown_lines(json.loads(text)["messages"]))


def show_messages(messages: Sequence[Message]) -> str:
    return "\n".join(_shown_lines(messages))


def _shown_lines(messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        calls = message.get("tool_calls")
        text = message["content"] + (f" {json.dumps(calls, ensure_ascii=False)}" if calls else "")
        yield f"{message['role']}: {text}"


def _parse_message(found: Any, number: int) -> Message:
    if not isinstance(found, dict):
        raise LineError(f"its message {number} is not an object")
    role = found.get("role", found.get("from"))
    if not isinstance(role, str) or role.lower() not in ROLES:
        shown = repr(role)[:50] if role is not None else "no role"
        raise LineError(
            f"its message {number} has {shown}; known are {', '.join(dict.fromkeys(ROLES.values()))}"
        )
    kept = {name: found[name] for name in KEPT_FIELDS if found.get(name) is not None}
    if not isinstance(kept.get("weight", 1), int | float):
        raise LineError(f"the weight of its message {number} is not a number")
    if "tool_calls" in kept:
        kept["tool_calls"] = _parse_calls(kept["tool_calls"], number)
    content = found.get("content", found.get("value"))
    content = _join_parts(content, number) if isinstance(content, list) else content
    if content is None and "tool_calls" in kept:
        content = ""
    if not isinstance(content, str):
        raise LineError(f"its message {number} has no text")
    message = {"role": ROLES[role.lower()], "content": normalise(content)} | kept
    if not message["content"] and message["role"] in ("user", ANSWER_ROLE) and "tool_calls" not in kept:
        raise LineError(f"its message {number} is empty")
    return message


def _parse_calls(calls: Any, number: int) -> list[Any]:
    """Return the calls with their arguments as objects, as templates expect; OpenAI's format has them as JSON."""
    if not isinstance(calls, list):
        raise LineError(f"the tool_calls of its message {number} are no list")
    parsed = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            with contextlib.suppress(ValueError, RecursionError):
                call = call | {"function": function | {"arguments": json.loads(function["arguments"])}}
        parsed.append(call)
    return parsed


def _join_parts(parts: list[Any], number: int) -> str:
    """Return the text of a message in parts. Raises LineError for an image or a sound."""
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise LineError(f"its message {number} has a part of type {str(kind)[:30]}; only text is read")
        texts.append(text)
    return "".join(texts)


def _parse_tools(tools: Any) -> list[Any]:
    """Return the tools of a chat; some data sets hold them as JSON in a text."""
    if isinstance(tools, str):
        try:
            tools = json.loads(tools)
        except (ValueError, RecursionError):
            raise LineError("its tools are not JSON") from None
    if not isinstance(tools, list):
        raise LineError("its tools are no list")
    return tools


def _preferred(found: Any, side: str) -> list[Message]:
    """Return one side of a preference: a text, a message, or a list of messages."""
    if isinstance(found, str):
        if HUMAN in f"\n\n{found.lstrip()}" and ASSISTANT in found:
            return _parse_transcript(found)
        return [{"role": ANSWER_ROLE, "content": _text(found, side)}]
    return parse_messages([found] if isinstance(found, dict) else found, side)


def _parse_transcript(text: str) -> list[Message]:
    messages: list[Message] = []
    for turn in f"\n\n{text.lstrip()}".split(HUMAN)[1:]:
        asked, *answers = turn.split(ASSISTANT)
        messages.append({"role": "user", "content": _text(asked, "transcript")})
        messages += [{"role": ANSWER_ROLE, "content": _text(answer, "transcript")} for answer in answers]
    return messages


def _split_prompt(
    prompt: list[Message], chosen: list[Message], rejected: list[Message]
) -> tuple[list[Message], tuple[list[Message], list[Message]]]:
    """Move what both answers begin with to the prompt. Raises LineError if an answer is not the assistant's."""
    common = 0
    while common < min(len(chosen), len(rejected)) - 1 and chosen[common] == rejected[common]:
        common += 1
    if common:
        shared = chosen[:common]
        prompt = shared if _is_end(prompt, shared) else prompt + shared
    answers = chosen[common:], rejected[common:]
    for side, messages in zip((CHOSEN, REJECTED), answers, strict=True):
        if messages[0]["role"] != ANSWER_ROLE:
            raise LineError(f"its {side} does not begin with an answer of the assistant")
    return prompt, answers


def _is_end(prompt: list[Message], shared: list[Message]) -> bool:
    """Whether the shared messages repeat the prompt, perhaps with more before it."""
    return not prompt or shared[-len(prompt) :] == prompt


def _text(text: str, name: str) -> str:
    clean = normalise(text)
    if not clean:
        raise LineError(f"its {name} is empty")
    return clean
