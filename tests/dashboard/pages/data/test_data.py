"""Pages of data: upload, refused lines, access for the team only."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import urlencode

import pytest
from django.test import Client

from jobs import datasets
from jobs.models import Dataset

pytestmark = pytest.mark.django_db
PAIRS = "".join(
    f"{json.dumps({'source': f'the cat {n}', 'target': f'le chat {n}'})}\n" for n in range(9)
).encode()


def upload(browser, content=PAIRS, **said):
    address = f"/data/upload/?{urlencode({'file_name': 'cats.jsonl', **said})}"
    return browser.post(address, content, content_type="application/octet-stream")


@pytest.fixture
def draft(team, owner):
    return datasets.store_upload(
        team=team,
        owner=owner,
        name="cats",
        file_name="cats.jsonl",
        chunks=[PAIRS, b"<script>alert(1)</script>\n"],
    )


def test_a_valid_file_opens_its_page(owner_browser):
    answer = upload(owner_browser, name="Cats", licence="CC0")
    made = Dataset.objects.get()
    assert answer.json() == {"url": f"/data/{made.id}/"}
    page = owner_browser.get(f"/data/{made.id}/").text
    for text in (
        "Cats",
        "the cat 0",
        "le chat 0",
        "CC0",
        f"dataset:{made.id}",
        made.sha256,
        "pairs of texts",
    ):
        assert text in page
    assert "Cats" in owner_browser.get("/data/").text
    assert f"dataset:{made.id}" in owner_browser.get("/submit/").text


def test_training_on_a_data_set_starts_with_a_suitable_model(team, owner, owner_browser, node):
    rows = "".join(f"{json.dumps({'text': str(n), 'label': str(n % 3)})}\n" for n in range(30)).encode()
    made = datasets.store_upload(team=team, owner=owner, name="", file_name="a.jsonl", chunks=[rows])
    address = re.search(r'href="(/submit/[^"]+)"', owner_browser.get(f"/data/{made.id}/").text).group(1)
    page = owner_browser.get(html.unescape(address))
    assert f"corpus: dataset:{made.id}" in page.text
    assert "classes: 3" in page.text and "family: encoder" in page.text
    assert page.context["problems"] == []


def test_a_refused_file_has_a_message_and_is_not_stored(owner_browser):
    answer = upload(owner_browser, b"PK\x03\x04", file_name="cats.jsonl")
    assert answer.status_code == 422
    assert "a ZIP archive" in answer.json()["problem"]
    assert not Dataset.objects.exists()


def test_refused_lines_are_listed_and_exported_as_csv(draft, owner_browser):
    page = owner_browser.get(f"/data/{draft.id}/").text
    assert "1 of 10 lines are invalid" in page
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page
    answer = owner_browser.get(f"/data/{draft.id}/refused/")
    assert answer["Content-Type"].startswith("text/csv")
    assert (
        b"".join(answer.streaming_content).decode().startswith("line,reason,beginning\r\n10,it is not JSON")
    )


def test_a_draft_is_accepted_with_its_valid_lines(draft, owner_browser):
    assert owner_browser.post(f"/data/{draft.id}/keep/").url == f"/data/{draft.id}/"
    draft.refresh_from_db()
    assert draft.state == "ready"


def test_a_draft_is_discarded(draft, owner_browser):
    assert owner_browser.post(f"/data/{draft.id}/discard/").url == "/data/"
    assert owner_browser.get(f"/data/{draft.id}/").status_code == 404


def test_name_licence_and_note_can_be_changed(draft, owner_browser):
    said = {"name": "Chats", "licence": "CC BY 4.0", "note": "of Tuesday\n<b>bold</b>"}
    owner_browser.post(f"/data/{draft.id}/change/", said)
    page = owner_browser.get(f"/data/{draft.id}/").text
    assert "Chats" in page and "CC BY 4.0" in page and "&lt;b&gt;bold" in page
    answer = owner_browser.post(f"/data/{draft.id}/change/", said | {"name": ""})
    assert answer.status_code == 422
    assert "A name has 1 to 100" in answer.text and "of Tuesday" in answer.text


def test_content_is_deleted_and_the_page_shows_it(team, owner, owner_browser):
    made = datasets.store_upload(team=team, owner=owner, name="", file_name="a.jsonl", chunks=[PAIRS])
    owner_browser.post(f"/data/{made.id}/delete/")
    page = owner_browser.get(f"/data/{made.id}/").text
    assert "Its content was deleted" in page and "the cat 0" not in page
    assert "a.jsonl" not in owner_browser.get("/data/").text


@pytest.mark.parametrize("act", ["", "refused/", "keep/", "discard/", "delete/", "change/"])
def test_a_stranger_gets_404(act, draft, stranger_browser):
    method = stranger_browser.get if act in ("", "refused/") else stranger_browser.post
    assert method(f"/data/{draft.id}/{act}").status_code == 404
    assert Dataset.objects.get().state == "draft"
    assert "cats" not in stranger_browser.get("/data/").text


@pytest.mark.parametrize("act", ["keep/", "discard/", "delete/", "change/"])
def test_a_viewer_can_read_and_not_change(act, draft, viewer_browser):
    assert viewer_browser.get(f"/data/{draft.id}/").status_code == 200
    assert viewer_browser.post(f"/data/{draft.id}/{act}").status_code == 404
    assert upload(viewer_browser).status_code == 404
    assert Dataset.objects.get().state == "draft"


def test_an_upload_for_another_team_is_refused(owner_browser, other_team):
    assert upload(owner_browser, team=other_team.slug).status_code == 404
    assert not Dataset.objects.exists()


def test_an_upload_needs_a_csrf_token(owner):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    assert upload(browser).status_code == 403
    assert not Dataset.objects.exists()


def test_built_in_corpora_are_listed_with_their_licences(owner_browser):
    page = owner_browser.get("/data/").text
    for text in ("python-docs", "PSF-2.0", "messages-en-fr", "debian-en-fr", "Nothing uploaded yet"):
        assert text in page


def test_more_data_sets_take_the_same_number_of_queries(
    team, owner, owner_browser, django_assert_max_num_queries
):
    for number in range(8):
        datasets.store_upload(
            team=team, owner=owner, name=str(number), file_name="a.txt", chunks=[f"text {number}".encode()]
        )
    with django_assert_max_num_queries(12):
        assert owner_browser.get("/data/").text.count("by olga") == 8


@pytest.fixture
def chats(team, owner):
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"<b>q{n}</b>"},
                {"role": "assistant", "content": f"answer {n}"},
            ]
        }
        for n in range(30)
    ]
    content = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    return datasets.store_upload(team=team, owner=owner, name="talks", file_name="t.jsonl", chunks=[content])


def test_packed_sequences_show_documents_and_trained_tokens(chats, owner_browser):
    page = owner_browser.get(f"/data/{chats.id}/packing/", {"context": "128"}).text
    assert page.count('class="packed-document') == 30
    assert "&lt;b&gt;q7&lt;/b&gt;" in page and "<b>q7" not in page
    trained = re.findall(r'class="packed is-trained">([^<]+)<', page)
    assert sorted(map(html.unescape, trained)) == sorted(f"answer {n}<|im_end|>" for n in range(30))
    assert f"/data/{chats.id}/packing/" in owner_browser.get(f"/data/{chats.id}/").text


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"context": "7"}, "A context has 8 to 32,768 tokens"), ({"context": "x"}, "A context has"),
        ({"tokenizer": "nowhere"}, "The tokenizer nowhere cannot be used: the file does not exist"),
        ({"tokenizer": "../../etc"}, "outside the data folder"),
    ],
)  # fmt: skip
def test_a_preview_that_cannot_be_made_says_why(query, reason, chats, owner_browser, settings, tmp_path):
    settings.CORPUS_ROOT = str(tmp_path)
    answer = owner_browser.get(f"/data/{chats.id}/packing/", query)
    assert answer.status_code == 422
    assert reason in html.unescape(answer.text)


def test_packed_sequences_are_for_the_team_alone(chats, stranger_browser):
    assert stranger_browser.get(f"/data/{chats.id}/packing/").status_code == 404


def test_chats_are_shown_and_train_packed(chats, owner_browser, node):
    page = owner_browser.get(f"/data/{chats.id}/").text
    assert "assistant: answer 3" in page and "chats" in page
    address = html.unescape(re.search(r'href="(/submit/[^"]+)"', page).group(1))
    assert "data.objective%3Dchat" in address and "data.packing%3Dtrue" in address
    assert owner_browser.get(address).status_code == 200


def test_chosen_fields_are_read(owner_browser):
    rows = b"review,stars\nfine,5\nbad,1\n"
    made = upload(owner_browser, rows, file_name="r.csv.gz", fields="text=review,label=stars")
    assert made.status_code == 422 and "gzip" in made.json()["problem"]
    assert (
        upload(owner_browser, rows, file_name="r.csv", fields="text=review, label=stars").status_code == 200
    )
    assert Dataset.objects.get().kind == "classes"
    wrong = upload(owner_browser, rows, file_name="r.csv", fields="review")
    assert wrong.json()["field"] == "fields" and "name=field" in wrong.json()["problem"]
