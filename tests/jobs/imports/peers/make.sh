#!/bin/sh
# Makes stores.tar.xz and expected.json again, in throw-away environments below $1. Needs the Python versions named here,
# a checkout's environment with torch as $2, and the package index. Takes some minutes.
set -eu
work=$1; torch_env=$2
here=$(cd "$(dirname "$0")" && pwd)
cp "$here"/write_stores.py "$here"/read_stores.py "$work"  # W&B records the path of its program
export PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python

environment() { # name, python, packages...
    name=$1; python=$2; shift 2
    [ -d "$work/$name" ] || { "$python" -m venv "$work/$name" && "$work/$name/bin/pip" install -q "$@"; }
}
environment wandb-0.12.21 python3.9 wandb==0.12.21 'protobuf<4' 'setuptools<81'
environment wandb-0.16.6 python3.10 wandb==0.16.6 'setuptools<81'
environment wandb-0.31.0 python3.11 wandb==0.31.0
environment mlflow-1.2.0 python3.7 mlflow==1.2.0 'sqlalchemy<1.4' 'alembic<1.5' 'protobuf<3.21' 'numpy<1.20' 'pandas<1.2' \
    'setuptools<60' 'jinja2<3.1' 'markupsafe<2.1' 'itsdangerous<2.1' 'werkzeug<2.1' 'flask<2'
environment mlflow-1.30.1 python3.9 mlflow-skinny==1.30.1 'sqlalchemy<2' alembic sqlparse 'numpy<2' 'pandas<2' 'protobuf<4' 'setuptools<81'
environment mlflow-2.22.0 python3.10 mlflow-skinny==2.22.0 sqlalchemy alembic sqlparse 'numpy<2' pandas 'setuptools<81'
environment mlflow-3.17.2 python3.11 mlflow-skinny==3.17.2 sqlalchemy alembic sqlparse numpy pandas
environment tensorboardX-1.9 python3.9 tensorboardX==1.9 'numpy<1.24' 'protobuf<4' six
environment tensorboardX-2.5.1 python3.9 tensorboardX==2.5.1 'numpy<1.24' 'protobuf<4'
environment tensorboardX-2.6.5 python3.11 tensorboardX==2.6.5
environment tensorboard-2.4.1 python3.8 tensorboard==2.4.1 'protobuf<4' 'numpy<1.24' 'setuptools<81'
environment tensorboard-2.10.1 python3.9 tensorboard==2.10.1 'protobuf<4' 'numpy<1.24' 'setuptools<81'
environment tensorboard-2.21.0 python3.11 tensorboard==2.21.0 'setuptools<81'
ln -sfn "$torch_env" "$work/torch-2.13.0"

rm -rf "$work/stores" "$work/expected"
mkdir -p "$work/stores" "$work/expected"
cd "$work"
for writer in wandb-0.12.21 wandb-0.16.6 wandb-0.31.0 mlflow-1.2.0 mlflow-1.30.1 mlflow-2.22.0 mlflow-3.17.2 tensorboardX-1.9 \
    tensorboardX-2.5.1 tensorboardX-2.6.5 torch-2.13.0 tensorboard-2.4.1 tensorboard-2.10.1 tensorboard-2.21.0; do
    out=stores/$writer
    kind=${writer%%-*}
    path=
    [ "$kind" != torch ] || path=$work/tensorboard-2.21.0/lib/python3.11/site-packages
    PYTHONPATH=$path "$writer/bin/python" "$work/write_stores.py" "$kind" "$out"
    case $writer in
    wandb-0.31.0)
        wandb-0.16.6/bin/python "$work/read_stores.py" records "$out" records.json
        "$writer/bin/python" "$work/read_stores.py" wandb "$out" records.json ;;
    wandb-* | mlflow-*) "$writer/bin/python" "$work/read_stores.py" "$kind" "$out" ;;
    *) tensorboard-2.21.0/bin/python "$work/read_stores.py" tensorboard "$out" ;;
    esac >"expected/$writer.json"
done
find stores -type l -delete
find stores -type f ! -name '*.wandb' ! -name '*tfevents*' ! -name mlflow.db ! -path '*/mlruns/*' -delete
tar --sort=name --owner=0 --group=0 --numeric-owner -cJf "$here/stores.tar.xz" stores
tensorboard-2.21.0/bin/python - expected "$here/expected.json" <<'PYTHON'
import json, pathlib, sys
found = {path.stem: json.loads(path.read_text()) for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json"))}
pathlib.Path(sys.argv[2]).write_text(json.dumps(found, sort_keys=True) + "\n")
PYTHON
