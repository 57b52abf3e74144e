"""Each rule of the linter against a file that breaks it."""

from pathlib import Path

import pytest

from vae_tf.azure_check.rules import check
from vae_tf.support.errors import InputError

ROOT = Path(__file__).parents[2]
TRAIN = """\
type: command
code: ..
command: >-
  python -m vae_tf.train
  --config ${{inputs.config}}
  --variant ${{inputs.variant}}
  --data-dir ${{inputs.data}}
  --run-dir ${{outputs.run}}
inputs:
  config: configs/small.yml
  variant: bn
  data:
    type: uri_folder
    path: azureml:pictures@latest
outputs:
  run:
    type: uri_folder
    path: azureml://datastores/workspaceblobstore/paths/runs/${{name}}
environment: file:./environment.yml
compute: azureml:gpu-cluster
"""
DISTRIBUTED = """\
distribution:
  type: tensorflow
  worker_count: 2
resources:
  instance_count: 2
"""
SWEEP = """\
type: sweep
trial:
  code: ..
  command: >-
    python -m vae_tf.train --dataset folder --data-dir ${{inputs.data}}
    --latent-dim ${{search_space.latent_dim}}
    --learning-rate ${{search_space.learning_rate}}
inputs:
  data:
    type: uri_folder
search_space:
  latent_dim:
    type: choice
    values: [2, 4, 8]
  learning_rate:
    type: loguniform
    min_value: -9
    max_value: -6
objective:
  goal: minimize
  primary_metric: val_loss
"""
COMPONENT = """\
type: command
name: train
code: ..
command: python -m vae_tf.train --variant ${{inputs.variant}} --epochs ${{inputs.epochs}} --run-dir ${{outputs.run}}
inputs:
  variant:
    type: string
    default: bn
  epochs:
    type: integer
outputs:
  run:
    type: uri_folder
"""
PIPELINE = """\
type: pipeline
inputs:
  epochs: 3
outputs:
  image:
    type: uri_folder
jobs:
  train:
    type: command
    component: ./component.yml
    inputs:
      variant: plain
      epochs: ${{parent.inputs.epochs}}
  draw:
    type: command
    code: ..
    command: python -m vae_tf.sample --run ${{inputs.run}} --out ${{outputs.image}}/samples.png
    inputs:
      run: ${{parent.jobs.train.outputs.run}}
    outputs:
      image: ${{parent.outputs.image}}
"""
DEPLOYMENT = """\
name: blue
code_configuration:
  code: ..
  scoring_script: configs/small.yml
"""
ENDPOINT = """\
name: vae
auth_mode: aad_token
"""
FILES = {
    "train.yml": TRAIN,
    "distributed.yml": TRAIN + DISTRIBUTED,
    "sweep.yml": SWEEP,
    "component.yml": COMPONENT,
    "pipeline.yml": PIPELINE,
    "deployment.yml": DEPLOYMENT,
    "endpoint.yml": ENDPOINT,
    "environment.yml": "name: vae\nimage: mcr.microsoft.com/azureml/base\nconda_file: conda.yml\n",
    "conda.yml": "name: vae\n",
}


@pytest.fixture
def folder(tmp_path):
    """A folder of files without a fault, with what they name around it."""
    azure = tmp_path / "azure"
    azure.mkdir()
    for name, text in FILES.items():
        (azure / name).write_text(text)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "small.yml").write_text("dataset: folder\nepochs: 1\n")
    return azure


def break_(folder, name, old, new):
    text = (folder / name).read_text()
    assert text.count(old) == 1
    (folder / name).write_text(text.replace(old, new))


def test_files_without_a_fault_pass(folder):
    assert check(folder) == []


def test_the_files_of_the_project_pass():
    assert check(ROOT / "azure") == []


BROKEN_EXPRESSIONS = {
    "input": ("train.yml", "${{inputs.variant}}", "${{inputs.varient}}", 6),
    "output": ("train.yml", "${{outputs.run}}", "${{outputs.runs}}", 8),
    "name of the service": ("train.yml", "${{name}}", "${{job}}", 18),
    "search space": ("sweep.yml", "${{search_space.latent_dim}}", "${{search_space.latents}}", 6),
    "search space of a job without one": ("train.yml", "${{inputs.variant}}", "${{search_space.variant}}", 6),
    "input of the pipeline": ("pipeline.yml", "${{parent.inputs.epochs}}", "${{parent.inputs.epoch}}", 13),
    "output of the pipeline": ("pipeline.yml", "${{parent.outputs.image}}", "${{parent.outputs.images}}", 21),
    "step": ("pipeline.yml", "${{parent.jobs.train.outputs.run}}", "${{parent.jobs.trian.outputs.run}}", 19),
    "output of a step": ("pipeline.yml", "${{parent.jobs.train.outputs.run}}", "${{parent.jobs.train.outputs.x}}", 19),
    "input of a step": ("pipeline.yml", "${{inputs.run}}", "${{inputs.model}}", 17),
    "parent of a job without one": ("train.yml", "${{inputs.variant}}", "${{parent.inputs.variant}}", 6),
}


@pytest.mark.parametrize("case", BROKEN_EXPRESSIONS)
def test_expression_that_names_nothing_is_found_at_its_line(folder, case):
    name, old, new, line = BROKEN_EXPRESSIONS[case]
    break_(folder, name, old, new)
    found = [str(finding) for finding in check(folder) if "is undefined" in finding.problem]
    assert len(found) == 1
    assert found[0].startswith(f"{folder / name}:{line}: {new} is undefined; declare ")


def test_expression_without_its_dollar_is_found(folder):
    break_(folder, "train.yml", "${{inputs.variant}}", "{{inputs.variant}}")
    malformed = f"{folder}/train.yml:6: malformed expression; write it as ${{{{...}}}}"
    assert malformed in [str(finding) for finding in check(folder)]


def test_input_that_the_component_lacks_is_found(folder):
    break_(folder, "pipeline.yml", "variant: plain", "varient: plain")
    (finding,) = check(folder)
    assert (finding.line, finding.problem) == (12, "the component declares no varient in its inputs")


def test_output_that_the_component_lacks_is_found(folder):
    break_(folder, "pipeline.yml", "epochs: ${{parent.inputs.epochs}}\n", "epochs: 3\n    outputs:\n      report:\n")
    assert [finding.problem for finding in check(folder)] == ["the component declares no report in its outputs"]


def test_input_that_the_component_waits_for_is_found(folder):
    break_(folder, "pipeline.yml", "      epochs: ${{parent.inputs.epochs}}\n", "")
    (finding,) = check(folder)
    assert finding.problem == "the required input epochs is missing"


def test_input_with_a_default_need_not_be_given(folder):
    break_(folder, "pipeline.yml", "      variant: plain\n", "")
    assert check(folder) == []


def test_fewer_nodes_than_workers_are_found(folder):
    break_(folder, "distributed.yml", "instance_count: 2", "instance_count: 1")
    (finding,) = check(folder)
    assert (finding.line, finding.problem) == (23, "worker_count is 2, but resources.instance_count is 1")


def test_workers_without_a_count_of_nodes_are_found(folder):
    break_(folder, "distributed.yml", "resources:\n  instance_count: 2\n", "")
    assert [finding.line for finding in check(folder)] == [23]


MISSING_PATHS = {
    "code": ("train.yml", "code: ..", "code: ../src", 2),
    "environment": ("train.yml", "file:./environment.yml", "file:./environments.yml", 19),
    "conda file": ("environment.yml", "conda_file: conda.yml", "conda_file: conda.yaml", 3),
    "component": ("pipeline.yml", "./component.yml", "./components.yml", 10),
    "data": ("train.yml", "path: azureml:pictures@latest", "path: ../images", 14),
    "scoring script": ("deployment.yml", "configs/small.yml", "small.yml", 4),
}


@pytest.mark.parametrize("case", MISSING_PATHS)
def test_path_that_is_not_there_is_found(folder, case):
    name, old, new, line = MISSING_PATHS[case]
    break_(folder, name, old, new)
    found = [finding for finding in check(folder) if "does not exist" in finding.problem]
    assert [(finding.path.name, finding.line) for finding in found] == [(name, line)]


REFUSED_COMMANDS = {
    "option": ("train.yml", "--variant", "--varient", "Unknown option '--varient'. Did you mean --variant?"),
    "value": ("train.yml", "variant: bn", "variant: batchnorm", "variant must be one of plain, bn, v1, v2"),
    "config": ("train.yml", "configs/small.yml", "configs/smal.yml", "config must be a readable YAML file"),
    "module": ("train.yml", "vae_tf.train", "vae_tf.trian", "The command must be a vae_tf command"),
    "quotes": ("train.yml", "--variant ", "--variant '", "The command must be valid shell syntax"),
    "step of a sweep's choice": ("sweep.yml", "[2, 4, 8]", "[2, 0, 8]", "latent_dim must be at least 1"),
    "bound of a sweep": ("sweep.yml", "type: loguniform", "type: uniform", "learning_rate must be greater than 0"),
    "default of a component": ("component.yml", "default: bn", "default: bm", "variant must be one of"),
    "step with a component": ("pipeline.yml", "variant: plain", "variant: plian", "variant must be one of"),
    "input of a pipeline": ("pipeline.yml", "epochs: 3", "epochs: 0", "epochs must be at least 1"),
    "step with a command": ("pipeline.yml", "--out", "--output", "Unknown option '--output'"),
}


@pytest.mark.parametrize("case", REFUSED_COMMANDS)
def test_command_that_the_package_refuses_is_found(folder, case):
    name, old, new, told = REFUSED_COMMANDS[case]
    break_(folder, name, old, new)
    found = [finding for finding in check(folder) if finding.path.name == name]
    assert found
    assert all(f" rejects the command: {told}" in finding.problem for finding in found)


def test_second_command_of_a_line_is_checked_too(folder):
    break_(
        folder, "train.yml", "python -m vae_tf.train", "python -m vae_tf.evaluate --runs x && python -m vae_tf.train"
    )
    assert "Unknown option '--runs'" in check(folder)[0].problem


@pytest.mark.parametrize("start", ["vae-tf train", "python -m vae_tf train", "echo on && vae-tf train"])
def test_command_by_another_name_is_checked_too(folder, start):
    break_(folder, "train.yml", "python -m vae_tf.train", f"{start} --epoch 3")
    [finding] = check(folder)
    assert finding.problem.startswith(
        "vae_tf.train rejects the command: Unknown option '--epoch'. Did you mean --epochs?"
    )


@pytest.mark.parametrize("start", ["vae-tf fit-sampler", "python -m vae_tf fit-sampler"])
def test_command_with_a_hyphen_is_found(folder, start):
    break_(folder, "train.yml", "python -m vae_tf.train", f"{start} --run x --sampler gmm && python -m vae_tf.train")
    assert check(folder) == []


def test_command_over_several_lines_is_checked_whole(folder):
    lines = "command: |\n  python -m vae_tf.train \\\n    --epochs 0\n"
    (folder / "lines.yml").write_text(f"type: command\n{lines}")
    (finding,) = check(folder)
    assert "epochs must be at least 1" in finding.problem


def test_step_with_a_command_is_checked_with_its_own_inputs(folder):
    break_(folder, "pipeline.yml", "--run ${{inputs.run}}", "--run x --num ${{inputs.run}}")
    break_(folder, "pipeline.yml", "run: ${{parent.jobs.train.outputs.run}}", "run: 0")
    (finding,) = check(folder)
    assert "num must be at least 1" in finding.problem


def test_metric_that_no_run_logs_is_found(folder):
    break_(folder, "sweep.yml", "primary_metric: val_loss", "primary_metric: validation_loss")
    (finding,) = check(folder)
    assert (finding.line, finding.problem) == (21, "validation_loss is not logged per epoch")
    assert "val_loss" in finding.fix


def test_metric_of_held_out_images_without_any_is_found(folder):
    break_(folder, "sweep.yml", "--dataset folder", "--dataset folder --val-fraction 0")
    (finding,) = check(folder)
    assert finding.problem == "val_loss needs a validation split"


def test_part_of_the_search_space_that_no_command_takes_is_found(folder):
    break_(folder, "sweep.yml", "--learning-rate ${{search_space.learning_rate}}", "")
    (finding,) = check(folder)
    assert (finding.line, finding.problem) == (15, "the command does not use learning_rate")


SECRETS = {
    "signature": ("https://x.blob.core.windows.net/c?sv=2024-01-01&sig=abc", "a shared access signature"),
    "account key": ("DefaultEndpointsProtocol=https;AccountName=x;AccountKey=abc", "a key or password"),
    "password": ("admin_password: abc", "a key or password"),
    "private key": ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
    "id": (
        "subscription: 01234567-89ab-cdef-0123-456789abcdef",
        "a UUID, such as a subscription id",
    ),
    "keys": ("auth_mode: key", "key-based authentication of an endpoint"),
}


@pytest.mark.parametrize("case", SECRETS)
@pytest.mark.parametrize("name", ["notes.md", "settings.py", "below/job.yml"])
def test_secret_is_found_and_not_repeated(folder, case, name):
    line, problem = SECRETS[case]
    (folder / "below").mkdir()
    (folder / name).write_text(f"# first line\n{line if name.endswith('.md') else '# ' * ('---' in line) + line}\n")
    found = [finding for finding in check(folder) if finding.problem == problem]
    assert [(finding.path, finding.line) for finding in found] == [(folder / name, 2)]
    assert "abc" not in str(found[0])


def test_file_that_is_no_yaml_is_found(folder):
    (folder / "train.yml").write_text("type: command\ncode: [..\n")
    (finding,) = check(folder)
    assert (finding.path.name, finding.line) == ("train.yml", 2)
    assert finding.problem.startswith("invalid YAML")


def test_component_that_is_no_yaml_is_found(folder):
    (folder / "component.yml").write_text("type: command\ncode: [..\n")
    assert [finding.line for finding in check(folder) if finding.path.name == "component.yml"] == [2]


def test_file_that_is_no_text_is_found(folder):
    (folder / "train.yml").write_bytes(b"\xff\x00\x01")
    (finding,) = check(folder)
    assert (finding.path.name, finding.line) == ("train.yml", 1)
    assert finding.problem.startswith("invalid YAML")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just a text", "jobs: [1]\ninputs: 3\nsearch_space: x\n"])
def test_yaml_of_another_shape_is_left_to_the_sdk(folder, text):
    (folder / "odd.yml").write_text(text)
    assert [finding for finding in check(folder) if finding.path.name != "odd.yml"] == []


def test_folder_without_yaml_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="folder must contain YAML files"):
        check(tmp_path)
