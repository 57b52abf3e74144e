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


# Each is correct: what the linter can't know is no fault.
CORRECT = {
    "output of a registry component": """\
type: pipeline
jobs:
  split:
    type: command
    component: azureml://registries/azureml/components/split/versions/1.0
  show:
    type: command
    command: ls ${{inputs.part}}
    inputs:
      part: ${{parent.jobs.split.outputs.part}}
""",
    "inputs of a flow": """\
type: pipeline
jobs:
  flow:
    type: parallel
    component: ./flow.dag.yaml
    inputs:
      data: azureml:texts:1
""",
    "routes of a deployment": """\
environment:
  image: mcr.microsoft.com/azureml/base
  inference_config:
    liveness_route: {port: 5001, path: /live}
    readiness_route: {port: 5001, path: /ready}
    scoring_route: {port: 5001, path: /score}
""",
    "source of an import": """\
type: uri_folder
source: {type: file_system, path: images/cats.csv, connection: azureml:bucket}
path: azureml://datastores/workspaceblobstore/paths/bucket/${{name}}
""",
    "model of an MLflow run": "type: mlflow_model\npath: runs:/a_run/model\n",
    "scoring script of a registered code": "code_configuration: {code: azureml:code:1, scoring_script: score.py}\n",
    "search space of AutoML": """\
type: automl
search_space:
  - model_name: {type: choice, values: [vit]}
  - learning_rate: {type: uniform, min_value: 0.1, max_value: 0.2}
""",
    "sweep of another program": """\
type: sweep
trial: {command: python train.py, code: ..}
search_space:
  learning_rate: {type: choice, values: [1, 2]}
objective: {goal: minimize, primary_metric: error}
""",
    "time of a schedule": """\
type: command
command: ls ${{inputs.time}}
inputs:
  time: ${{creation_context.trigger_time}}
""",
    "braces of another template": "type: command\ncommand: echo 'Question {{question}}'\n",
    "alias": "inputs:\n  first: &images {type: uri_folder, path: azureml:images:1}\n  second: *images\n",
    "merged mapping": "base: &base {type: uri_folder}\ninputs:\n  data:\n    <<: *base\n    path: azureml:images:1\n",
    "worker count from an input": """\
type: command
inputs: {nodes: 2}
distribution: {type: tensorflow, worker_count: "${{inputs.nodes}}"}
resources: {instance_count: 2}
""",
    "key from elsewhere": "credentials:\n  account_key: ${ACCOUNT_KEY}\n  client_secret: <secret>\n",
    "token of Azure ML": "auth_mode: aml_token\n",
}


@pytest.mark.parametrize("case", CORRECT)
def test_correct_file_passes(tmp_path, case):
    (tmp_path / "flow.dag.yaml").write_text("inputs:\n  text: {type: string}\nnodes: []\n")
    (tmp_path / "correct.yml").write_text(CORRECT[case])
    assert check(tmp_path) == []


CORRECT_COMMANDS = {
    "optional input": "python -m vae_tf.train $[[--epochs ${{inputs.epochs}}]]",
    "other folder": "cd configs && python -m vae_tf.train --config small.yml",
    "folder that the node has": "cd /somewhere/else && python -m vae_tf.train --config small.yml",
    "pipe": "python -m vae_tf.train --epochs 3 | tee log.txt",
    "pipe of both streams": "python -m vae_tf.train --epochs 3 |& tee log.txt",
    "redirections": "python -m vae_tf.train --epochs 3 > log.txt 2>&1 < /dev/null",
    "redirection before an option": "python -m vae_tf.train 2>errors.txt --epochs 3",
    "background": "python -m vae_tf.train --epochs 3 & wait",
    "alternative": "python -m vae_tf.train --epochs 3 || echo failed",
    "subshell": "(cd /tmp; python -m vae_tf.train --epochs 3)",
    "comment": "python -m vae_tf.train --epochs 3  # it's short",
    "variable": "python -m vae_tf.train --epochs $EPOCHS --beta ${BETA:-1}",
    "variable for all options": "python -m vae_tf.train $OPTIONS",
    "output of a command": "python -m vae_tf.train --run-dir runs/$(date +%s) --seed `cat seed`",
    "variable in the name of a config": "python -m vae_tf.train --config $HOME/small.yml",
    "input without a value": "python -m vae_tf.train --variant ${{inputs.variant}} --val-fraction ${{inputs.fraction}}",
    "help": "python -m vae_tf.train --help",
    "linter": "python -m vae_tf.azure_check azure",
    "shell script with a quote": "cat <<EOF\nit's\nEOF\n",
    "other module": "python -m vae_tf_extras.train --depth 3",
    "script with the same option": "python train.py -m vae_tf.train --depth 3",
}
INPUTS = """\
inputs:
  epochs: {type: integer, optional: true}
  variant: {type: string}
  fraction: {type: number}
"""


def write_command(tmp_path, command):
    lines = "".join(f"  {line}\n" for line in command.splitlines())
    (tmp_path / "command.yml").write_text(f"type: command\n{INPUTS}command: |\n{lines}")


@pytest.mark.parametrize("case", CORRECT_COMMANDS)
def test_correct_command_passes(tmp_path, case):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "small.yml").write_text("epochs: 1\n")
    write_command(tmp_path, CORRECT_COMMANDS[case])
    assert check(tmp_path) == []


WRONG_COMMANDS = {
    "unbuffered": "python -u -m vae_tf.train --epoch 3",
    "joined options": "python -um vae_tf.train --epoch 3",
    "option with a value": "python -W ignore -m vae_tf.train --epoch 3",
    "version": "python3.11 -m vae_tf.train --epoch 3",
    "path": "/opt/miniconda/bin/python -m vae_tf.train --epoch 3",
    "after variables": "TF_CPP_MIN_LOG_LEVEL=1 python -m vae_tf.train --epoch 3",
    "package": "python -m vae_tf train --epoch 3",
    "script": "vae-tf train --epoch 3",
    "after a pipe": "echo yes | python -m vae_tf.train --epoch 3",
    "after a redirection": "python -m vae_tf.train > log.txt --epoch 3",
    "after an unknown value": "python -m vae_tf.train --variant $VARIANT --epoch 3",
    "after the output of a command": "python -m vae_tf.train --run-dir runs/$(date) --epoch 3",
    "in an optional part": "python -m vae_tf.train $[[--epoch ${{inputs.epochs}}]]",
    "on a later line": "echo start\npython -m vae_tf.train --epoch 3\n",
}


@pytest.mark.parametrize("case", WRONG_COMMANDS)
def test_wrong_option_is_found_wherever_the_command_is(tmp_path, case):
    write_command(tmp_path, WRONG_COMMANDS[case])
    (finding,) = check(tmp_path)
    assert "Unknown option '--epoch'. Did you mean --epochs?" in finding.problem


def test_command_that_vae_tf_lacks_is_found(tmp_path):
    write_command(tmp_path, "vae-tf trian --epochs 3")
    (finding,) = check(tmp_path)
    assert "The command must be a vae_tf command. Received: vae_tf.trian" in finding.problem


def test_optional_part_without_its_input_is_left_out_of_a_step(folder):
    break_(folder, "component.yml", "--epochs ${{inputs.epochs}}", "$[[--epochs ${{inputs.epochs}}]]")
    break_(folder, "component.yml", "type: integer", "type: integer\n    optional: true")
    break_(folder, "pipeline.yml", "      epochs: ${{parent.inputs.epochs}}\n", "")
    assert check(folder) == []


def test_value_that_contains_itself_is_found(folder):
    (folder / "odd.yml").write_text("inputs: &inputs\n  more: *inputs\n")
    (finding,) = check(folder)
    assert finding.problem == "invalid YAML (a value contains itself)"


def test_date_that_does_not_exist_is_found(folder):
    (folder / "odd.yml").write_text("name: odd\nversion: 2026-13-01\n")
    (finding,) = check(folder)
    assert finding.problem.startswith("invalid YAML")


SAMPLED = {
    "log-normal": ("{type: lognormal, mu: -7, sigma: 1}", []),
    "steps": ("{type: quniform, min_value: 0.6, max_value: 8.2, q: 1}", []),
    "number as text": ("{type: uniform, min_value: 1e-1, max_value: 1e0}", []),
    "integers from 0": ("{type: randint, upper: 8}", ["latent_dim must be at least 1"]),
}


@pytest.mark.parametrize("case", SAMPLED)
def test_points_of_a_search_space_are_those_that_the_service_draws(folder, case):
    parameter, expected = SAMPLED[case]
    option = "learning-rate" if case in ("log-normal", "number as text") else "latent-dim"
    command = f"python -m vae_tf.train --val-fraction 0.1 --{option} ${{{{search_space.x}}}}"
    (folder / "sweep.yml").write_text(
        f"type: sweep\ntrial: {{code: .., command: '{command}'}}\nsearch_space:\n  x: {parameter}\n"
        "objective: {goal: minimize, primary_metric: val_loss}\n"
    )
    assert [problem for problem in expected if problem not in check(folder)[0].problem] == []
    assert len(check(folder)) == len(expected)


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
