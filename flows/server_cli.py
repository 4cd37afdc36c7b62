"""`gazeworks server`: Prefect, MLflow and workers on this machine, in the background."""

import os
from typing import Annotated

import typer

from tasks.console import say

app = typer.Typer(no_args_is_help=True, help=__doc__)

Pool = Annotated[list[str] | None, typer.Option(help="Start a worker for this pool: cpu, gpu. May be repeated.")]


@app.command()
def start(
    pool: Pool = None,
    host: Annotated[str, typer.Option(help="Address to listen at. Nobody is asked for a password.")] = "127.0.0.1",
    prefect_port: Annotated[int, typer.Option(min=1, max=65535)] = 4200,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    gpus: Annotated[int, typer.Option(min=0, help="Runs that may use a GPU at the same time.")] = 1,
) -> None:
    """Start the servers and workers; they go on after this command."""
    from tasks import services

    addresses = services.Addresses(host, prefect_port, mlflow_port)
    os.environ["PREFECT_API_URL"] = f"{addresses.prefect}/api"  # before Prefect is imported

    def set_up() -> None:
        from tasks.server_setup import set_up

        set_up(gpus)

    for process in services.start(addresses, pool or services.pools_of_this_machine(), set_up):
        say(f"{process.name:10} {process.url or f'process {process.pid}'}")
    say(f"logs       {services.folder()}")
    say("\nNext, in this folder:")
    say(f"  export PREFECT_API_URL={addresses.prefect}/api")
    say("  prefect --no-prompt deploy --all    # or: make deploy")


@app.command()
def stop() -> None:
    """Stop what `start` started, and nothing else."""
    from tasks import services

    stopped = services.stop()
    for process in stopped:
        say(f"stopped {process.name}")
    if not stopped:
        say("nothing was running")


@app.command()
def status() -> None:
    """Say what runs."""
    from tasks import services

    for process in services.running():
        say(f"{process.name:10} process {process.pid} {process.url}")
