"""Experiments through MLflow's own client: they are the team's projects."""

from __future__ import annotations

import pytest
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException, RestException

from jobs.models import Project, ProjectEvent


def test_an_experiment_that_is_set_is_made_as_a_project_of_the_team(tracked, team):
    made = tracked.set_experiment("language models")
    project = Project.objects.get()
    assert (made.experiment_id, project.team, project.name) == (str(project.id), team, "language models")
    assert made.artifact_location == f"mlflow-artifacts:/{project.id}"
    assert tracked.set_experiment("language models").experiment_id == made.experiment_id


def test_experiment_0_is_there_from_the_beginning_and_has_the_runs_without_a_project(tracked, client):
    with tracked.start_run() as run:
        pass
    assert client.get_experiment("0").name == client.get_experiment_by_name("Default").name == "Default"
    assert [found.info.run_id for found in client.search_runs(["0"])] == [run.info.run_id]


def test_an_experiment_is_renamed_tagged_deleted_and_restored_each_with_an_event(client):
    number = client.create_experiment("one", tags={"area": "vision"})
    client.rename_experiment(number, "two")
    client.set_experiment_tag(number, "area", "text")
    client.set_experiment_tag(number, "by", "olga")
    client.delete_experiment_tag(number, "by")
    client.delete_experiment(number)
    found = client.get_experiment(number)
    assert (found.name, found.lifecycle_stage, dict(found.tags)) == ("two", "deleted", {"area": "text"})
    client.restore_experiment(number)
    assert client.get_experiment(number).lifecycle_stage == "active"
    assert list(ProjectEvent.objects.values_list("kind", "actor").distinct()) == [
        (f"project.{what}", "olga")
        for what in ("created", "renamed", "tags", "tags", "tags", "archived", "restored")
    ]


def test_a_name_is_taken_once_even_by_a_deleted_experiment(client):
    number = client.create_experiment("one")
    with pytest.raises(RestException) as caught:
        client.create_experiment("one")
    assert caught.value.error_code == "RESOURCE_ALREADY_EXISTS"
    client.delete_experiment(number)
    with pytest.raises(RestException, match="restore it"):
        client.create_experiment("one")


def test_what_is_not_there_is_said_with_the_code_that_the_client_waits_for(client):
    assert client.get_experiment_by_name("never") is None
    for call in (lambda: client.get_experiment("12345"), lambda: client.delete_experiment("12345")):
        with pytest.raises(MlflowException) as caught:
            call()
        assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_no_run_begins_in_a_deleted_experiment(tracked, client):
    number = client.create_experiment("one")
    client.delete_experiment(number)
    with pytest.raises(RestException, match="must be in the 'active' state"):
        client.create_run(number)
    with pytest.raises(MlflowException, match="deleted"):
        tracked.set_experiment("one")


def test_experiments_are_found_by_name_tag_and_state_page_by_page(client):
    for name in ("alpha", "beta", "Gamma"):
        client.create_experiment(name, tags={"kind": name[0]})
    client.delete_experiment(client.get_experiment_by_name("beta").experiment_id)

    def names(**asked):
        return [one.name for one in client.search_experiments(**asked)]

    assert names() == ["Gamma", "alpha", "Default"]
    assert names(view_type=ViewType.DELETED_ONLY) == ["beta"]
    assert names(filter_string="name LIKE 'gam%'") == []
    assert names(filter_string="name ILIKE 'gam%'") == ["Gamma"]
    assert names(filter_string="tags.kind = 'a'") == ["alpha"]
    assert names(filter_string="tags.kind IS NULL") == ["Default"]
    assert names(filter_string="name != 'alpha' AND creation_time > 0") == ["Gamma", "Default"]
    assert names(view_type=ViewType.ALL, order_by=["name ASC"])[:2] == ["Gamma", "alpha"]
    first = client.search_experiments(max_results=2)
    rest = client.search_experiments(max_results=2, page_token=first.token)
    assert [one.name for one in [*first, *rest]] == ["Gamma", "alpha", "Default"] and not rest.token
