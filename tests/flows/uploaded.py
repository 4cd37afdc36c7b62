"""What a flow has put into MLflow."""

from mlflow import MlflowClient

from tasks import environment


def uploaded_files(flow_name: str) -> set[str]:
    """Paths of all files in the newest MLflow run of a flow."""
    client = MlflowClient(environment.tracking_uri())
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    run = client.search_runs(
        experiments, f"attributes.run_name = '{flow_name}'", order_by=["start_time DESC"], max_results=1
    )[0]

    def below(path: str | None) -> set[str]:
        files = client.list_artifacts(run.info.run_id, path)
        return {f.path for f in files if not f.is_dir}.union(*(below(f.path) for f in files if f.is_dir))

    return below(None)
