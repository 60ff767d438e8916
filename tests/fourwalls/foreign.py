"""Scripts of a person: a small PyTorch loop with three lines of the client, and one that uses mlflow alone."""

from __future__ import annotations

TORCH = """
import torch
torch.set_num_threads(1)  # threads that wait for each other stretch any phase on a busy machine
model = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
optimiser = torch.optim.AdamW(model.parameters())
run = fourwalls.init(project="foreign", name={name!r})
print(run.id, flush=True)
def batches():
    for _ in range({steps}):
        {in_data}
        yield torch.randn(256, 256), torch.randint(0, 10, (256,))
data = iter(batches())
for step in range({steps}):
    with run.step():
        with run.phase("data"):
            x, y = next(data)
        with run.phase("forward"):
            loss = torch.nn.functional.cross_entropy(model(x), y)
        with run.phase("backward"):
            loss.backward()
        with run.phase("optimiser"):
            optimiser.step()
            optimiser.zero_grad()
    {between}
    run.log({{"loss": loss.item()}})
run.finish()
"""

MLFLOW = """
import os, random, time
import mlflow
mlflow.set_experiment("foreign")
mlflow.set_system_metrics_sampling_interval(1)
mlflow.set_system_metrics_samples_before_logging(1)
with mlflow.start_run(log_system_metrics=True) as run:
    print(run.info.run_id, flush=True)
    for step in range(40):
        end = time.time() + 0.1
        while time.time() < end:
            sum(range(1000))
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
"""


def torch_script(
    *, steps: int = 150, name: str = "script", in_data: str = "pass", between: str = "pass"
) -> str:
    return TORCH.format(steps=steps, name=name, in_data=in_data, between=between)
