"""`gazeworks server`: Prefect, MLflow and workers on this machine, in the background."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tasks.console import print_line
from tasks.server import services
from tasks.server.own_server import prefect_server
from tasks.server.services import Addresses

app = typer.Typer(no_args_is_help=True, help=__doc__)

Pool = Annotated[list[str] | None, typer.Option(help="Start a worker for this pool: cpu, gpu. May be repeated.")]


@app.command()
def start(
    pool: Pool = None,
    host: Annotated[str, typer.Option(help="Address to listen at. The servers ask for no password.")] = "127.0.0.1",
    prefect_port: Annotated[int, typer.Option(min=1, max=65535)] = 4200,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    gpus: Annotated[int, typer.Option(min=0, help="Runs that may use a GPU at the same time.")] = 1,
) -> None:
    """Start the servers and workers; they keep running after this command."""
    addresses = Addresses(host, prefect_port, mlflow_port)
    os.environ["PREFECT_API_URL"] = addresses.prefect_api  # before Prefect is imported

    def set_up() -> None:
        from tasks.server.setup import set_up

        set_up(gpus)

    for process in services.start(addresses, pool or services.pools_of_this_machine(), set_up):
        print_line(f"{process.name:10} {process.url or f'process {process.pid}'}")
    print_line(f"logs       {services.folder()}")
    print_line("\nNext, in this folder:")
    print_line(f"  export PREFECT_API_URL={addresses.prefect_api}")
    print_line("  gazeworks server deploy    # or: make deploy")


@app.command()
def deploy() -> None:
    """Put the deployments of this folder's prefect.yaml on the server that PREFECT_API_URL names."""
    os.environ.setdefault("PREFECT_API_URL", Addresses().prefect_api)  # before Prefect is imported
    with prefect_server() as ready:
        ready()
        from tasks.server.deploying import deploy

        deploy(Path.cwd())


@app.command()
def stop() -> None:
    """Stop what `start` started, and nothing else."""
    stopped = services.stop()
    for process in stopped:
        print_line(f"stopped {process.name}")
    if not stopped:
        print_line("nothing was running")


@app.command()
def status() -> None:
    """List the running processes."""
    for process in services.running():
        print_line(f"{process.name:10} process {process.pid} {process.url}")
