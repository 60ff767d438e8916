"""Writers of small event files, .wandb files and mlruns folders."""

from __future__ import annotations

import json
import struct
import zlib

from jobs.imports.tfrecord import masked_crc32c


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number, value):
    """A field of a message: an int as varint, a float as double, text and bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    data = value.encode(errors="surrogatepass") if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(*pairs):
    return b"".join(field(number, value) for number, value in pairs)


# TensorBoard


def tf_record(data):
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked_crc32c(head)) + data + struct.pack("<I", masked_crc32c(data))


def scalar_event(tag, step, at, value):
    summary_value = field(1, tag) + varint(2 << 3 | 5) + struct.pack("<f", value)
    return message((1, float(at)), (2, step), (5, field(1, summary_value)))


def event_file(points, at=1_700_000_000.0):
    """Points: (tag, step, at, value)."""
    first = message((1, at), (3, "brain.Event:2"))
    return b"".join(tf_record(data) for data in (first, *(scalar_event(*point) for point in points)))


# W&B


def wandb_item(key, value, *, number=16):
    names = [(2, name) for name in key] if isinstance(key, tuple) else [(1, key)]
    return message(*names, (number, json.dumps(value) if number == 16 else value))


def wandb_run(run_id, project="p", config=(), at=1_700_000_000, **fields):
    numbers = {"entity": 2, "group": 6, "job_type": 7, "name": 8, "notes": 9, "sweep": 12}
    pairs = [(1, run_id), (3, project), (17, message((1, at)))]
    pairs += [(numbers[name], text) for name, text in fields.items()]
    pairs += [(4, b"".join(field(1, wandb_item(key, value)) for key, value in dict(config).items()))]
    return field(17, message(*pairs))


def wandb_row(values, step=None):
    items = b"".join(field(1, wandb_item(key, value)) for key, value in values.items())
    return field(2, items + (b"" if step is None else field(2, message((1, step)))))


def wandb_update(number, values, remove=()):
    updates = b"".join(field(1, wandb_item(key, value)) for key, value in values.items())
    return field(number, updates + b"".join(field(2, message((1, key))) for key in remove))


def wandb_exit(code=0):
    return field(18, message((1, code)))


def wandb_file(*records):
    out = bytearray(b":W&B" + struct.pack("<HB", 0xBEE1, 0))
    for record in records:
        is_first = True
        while True:
            room = 32 * 1024 - len(out) % (32 * 1024)
            if room < 7:
                out += bytes(room)
                continue
            body, record = record[: room - 7], record[room - 7 :]
            kind = (1 if is_first else 4) if not record else (2 if is_first else 3)
            out += struct.pack("<IHB", zlib.crc32(bytes([kind]) + body), len(body), kind) + body
            is_first = False
            if not record:
                break
    return bytes(out)


# MLflow


def mlflow_run(folder, run_id, metrics=(), params=(), **meta):
    """Metrics: name -> lines of (timestamp, value, step)."""
    values = {"run_id": run_id, "run_name": run_id, "status": 3, "lifecycle_stage": "active"}
    values |= {"start_time": 1_700_000_000_000, "end_time": 1_700_000_100_000} | meta
    for below in ("metrics", "params", "tags"):
        (folder / below).mkdir(parents=True)
    (folder / "meta.yaml").write_text(
        "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())
    )
    for name, lines in dict(metrics).items():
        path = folder / "metrics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{at} {value} {step}\n" for at, value, step in lines))
    for name, text in dict(params).items():
        (folder / "params" / name).write_text(text)


def mlflow_store(root):
    (root / "0").mkdir(parents=True)
    (root / "0" / "meta.yaml").write_text("experiment_id: '0'\nname: Default\nlifecycle_stage: active\n")
    return root / "0"
