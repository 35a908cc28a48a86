"""README and docs tell the truth: every command exists and every link leads somewhere."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.quality.messages import make_flag
from lungsev.schemes import load_scheme

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
EXTENDING = ROOT / "docs/extending.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMMANDS = {
    "lungsev-run": "lungsev.runtime.cli",
    "lungsev-train": "lungsev.train.cli",
    "lungsev-export": "lungsev.export.cli",
}
# Commands of the system that a shell block may use.
SYSTEM_COMMANDS = {
    *("git", "cd", "pip", "python", "python3", "torchrun", "tensorboard", "apptainer", "hf", "sh"),
    *("mkdir", "cp", "curl", "rsync", "sqlite3", "install", "useradd", "chmod", "chown", "tee", "apt", "apt-get"),
    *(
        ".",
        "systemctl",
        "systemd-analyze",
        "journalctl",
        "docker",
        "openssl",
        "nvpmodel",
        "nvidia-smi",
        "tritonserver",
        "usermod",
        "getent",
        "cat",
        "grep",
        "find",
        "done",
    ),
}


def shell_lines(text: str) -> list[str]:
    """Commands of the ```sh blocks; a trailing backslash joins lines, a comment is dropped."""
    lines = []
    for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words:
                lines.append(shlex.join(words))
    return lines


def complaint(line: str) -> str | None:
    """Why a line of a shell block is no real command; None when it is one."""
    words = shlex.split(line)
    while words and (words[0] in ("sudo", "env") or re.fullmatch(r"[A-Z0-9_]+=.*", words[0])):
        words = words[3:] if words[1] == "-u" else words[1:]
    program, arguments = Path(words[0]).name or words[0], words[1:]
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        targets = [word for word in arguments if "=" not in word]
        missing = [word for word in targets if not re.search(rf"^{re.escape(word)}:", makefile, flags=re.MULTILINE)]
        return f"make has no target {missing[0]}" if missing else None
    if program in COMMANDS:
        return option_complaint(program, arguments)
    if program in SYSTEM_COMMANDS:
        return None
    return f"{program} is not a command known here"


def option_complaint(program: str, arguments: list[str]) -> str | None:
    """Return what is wrong with the sub-command or an option of one of the three commands."""
    module = importlib.import_module(COMMANDS[program])
    command: Any = typer.main.get_command(module.app)
    known = {option for parameter in command.params for option in parameter.opts}
    named = program
    rest = list(arguments)
    default = getattr(module, "DEFAULT_COMMAND", None)  # `lungsev-export --fp16` is `lungsev-export bundle --fp16`
    if default is not None and not (rest and rest[0] in command.commands) and rest != ["--help"]:
        rest.insert(0, default)
    while rest and rest[0] in getattr(command, "commands", {}):
        word = rest.pop(0)
        command, named = command.commands[word], f"{named} {word}"
        known |= {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    takes_words = any(parameter.param_type_name == "argument" for parameter in command.params)
    if rest and not rest[0].startswith("-") and getattr(command, "commands", {}) and not takes_words:
        return f"{named} has no sub-command {rest[0]}"
    for word in rest:
        option = word.split("=")[0]
        if option.startswith("-") and option not in known | {"--help"}:
            return f"{named} has no option {option}"
    return None


def jobs() -> list[str]:
    """The batch scripts of the Slurm page."""
    text = (ROOT / "docs/slurm.md").read_text(encoding="utf-8")
    return re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("job", range(len(jobs())))
def test_a_slurm_job_is_valid_and_trains_by_commands_that_exist(job: int) -> None:
    from torch.distributed.run import get_args_parser

    script = jobs()[job]
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert script.startswith("#!/bin/bash\n#SBATCH --")
    commands = [line for line in script.replace("\\\n", " ").splitlines() if "lungsev" in line and "srun " in line]
    assert commands
    for line in commands:
        launcher, _, training = line.rstrip("& ").partition(
            "lungsev-train " if "lungsev-train" in line else "-m lungsev.train "
        )
        words = shlex.split(launcher)
        assert words.pop(0) == "srun"
        if words:  # torchrun with its own options, as torch knows them
            assert words.pop(0) == "torchrun"
            values = [re.sub(r"\$\w+", "2", word) for word in words]
            get_args_parser().parse_args([*values, "-m", "lungsev.train"])
        assert option_complaint("lungsev-train", shlex.split(training)) is None


def test_a_job_whose_time_ends_stops_its_training_and_queues_itself_again(tmp_path: Path) -> None:
    """The first script of the page, with stand-ins for Slurm's commands and for the training."""
    programs = tmp_path / "programs"
    activate = tmp_path / "lungsev-env/bin/activate"
    activate.parent.mkdir(parents=True)
    activate.touch()
    programs.mkdir()
    stand_ins = {
        "srun": 'exec "$@"',
        "scontrol": 'echo "$@" >> log',
        "lungsev-train": "trap 'echo stopped >> log; exit 1' TERM; touch started; sleep 60 & wait",
    }
    for name, body in stand_ins.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (programs / name).chmod(0o755)
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{programs}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    job = subprocess.Popen(["bash", "-c", jobs()[0]], cwd=tmp_path, env=environment, start_new_session=True)
    try:
        while not (tmp_path / "started").exists():
            assert job.poll() is None
            time.sleep(0.02)
        job.terminate()  # to the batch script alone, as --signal=B:TERM
        assert job.wait() == 0
        assert (tmp_path / "log").read_text().splitlines() == ["stopped", "requeue 7"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_in_a_document_exists(document: Path) -> None:
    lines = shell_lines(document.read_text(encoding="utf-8"))
    assert [f"{line}: {why}" for line in lines if (why := complaint(line))] == []


def test_readme_fits_two_screens_and_shows_a_command_of_each_room() -> None:
    text = README.read_text(encoding="utf-8")
    lines = shell_lines(text)
    assert len(text.splitlines()) <= 150
    assert "lungsev-run demo" in lines[:4]
    assert all(sum(line.startswith(command) for line in lines) >= 3 for command in ("lungsev-run", "lungsev-train"))
    assert any(line.startswith("lungsev-export") for line in lines)


def test_the_figures_of_readme_and_measurements_are_those_of_the_packaged_model() -> None:
    results = yaml.safe_load((ROOT / "lungsev/bundle/default/manifest.yaml").read_text(encoding="utf-8"))["metrics"]
    test = results["results"]["test"]
    pairs = [(test["median"], test["expected"]), (test["second_reader"], test["second_reader"])]
    grades = [f"{zones['accuracy']:.3f} / {zones['mae']:.3f} / {zones['kappa']:.3f}" for zones, _ in pairs]
    totals = [f"{total['total_mae']:.2f} / {total['total_r']:.3f}" for _, total in pairs]
    readme = README.read_text(encoding="utf-8")
    assert f"| {grades[0]} | {grades[1]} |" in readme
    assert f"| {totals[0]} | {totals[1]} |" in readme
    assert f"{test['interval']['coverage']:.1%}".replace("%", " %") not in readme  # it holds by construction
    measurements = (ROOT / "docs/measurements.md").read_text(encoding="utf-8")
    for figure in f"{grades[0]} / {totals[0]} / {grades[1]} / {totals[1]}".split(" / "):
        assert f"| {figure} |" in measurements


def test_the_figures_of_what_changed_are_those_of_the_packaged_model() -> None:
    manifest = yaml.safe_load((ROOT / "lungsev/bundle/default/manifest.yaml").read_text(encoding="utf-8"))
    card = (ROOT / "lungsev/bundle/default/card.md").read_text(encoding="utf-8")
    page = (ROOT / "docs/change.md").read_text(encoding="utf-8")
    section = card.split("## Change between two images")[1].split("## Earlier stages")[0]
    assert section[section.index("| pairs of images |") :].strip() in page
    test = manifest["metrics"]["change"]["brixia"]["test"]
    for row in test["reliability"]["ralo + ralo_opacity"]:
        shares = f"{row['probability']:.2f} | {row['same_way']:.2f} | {row['other_way']:.2f}"
        assert f"| {row['from']:.2f} to {row['to']:.2f} | {row['pairs']} | {shares} |" in page
    for row in test["trade_off"]:
        called = f"{row['same_day_pair_alone']:.1%} | {row['same_day_in_course']:.1%}"
        assert f"| {row['call_from']:.2f} | {called} | {row['agreed_found_every_two']:.1%} |" in page
    assert f"from {manifest['calibration']['brixia']['change']['call_from']:.0%} on".replace("%", " %") in page
    fit = manifest["metrics"]["change"]["brixia"]["fit"]
    assert f"({fit['patients']} patients, {fit['pairs']} pairs)" in page


def test_the_messages_in_the_expected_output_are_those_of_the_program() -> None:
    output = code_block(README, "text", "hand.png")
    for code in ("not_frontal_chest", "side_clipped"):
        assert make_flag(code).message in output


def test_the_python_of_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_phantom_dicom(make_phantom(1), tmp_path / "image.dcm")
    monkeypatch.chdir(tmp_path)
    exec(compile(code_block(README, "python", "import lungsev"), "README.md", "exec"), {})
    assert re.fullmatch(r"scored \d+ \[([0-3], ){5}[0-3]\]\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("make coffee", "make has no target coffee"),
        ("lungsev-run juggle", "lungsev-run has no sub-command juggle"),
        ("lungsev-run score --colour image.dcm", "lungsev-run score has no option --colour"),
        ("lungsev-export --fp8", "lungsev-export bundle has no option --fp8"),
        ("sudo -u lungsev /opt/lungsev/bin/lungsev-run juggle", "lungsev-run has no sub-command juggle"),
        ("rm -rf runs", "rm is not a command known here"),
    ],
)
def test_an_invented_command_is_seen(line: str, expected: str) -> None:
    assert complaint(line) == expected


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_and_picture_of_a_document_leads_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) + re.findall(r'src="([^"]+)"', text)
    local = [target for target in targets if "://" not in target]
    generated = {"reference/index.md"}  # `make docs` writes it
    assert [target for target in local if target not in generated and not (document.parent / target).exists()] == []


def code_block(document: Path, language: str, needle: str) -> str:
    """The block of a document in a language that holds a word."""
    blocks = re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    (found,) = [block for block in blocks if needle in block]
    return found


def test_the_example_scheme_is_a_scheme(tmp_path: Path) -> None:
    path = tmp_path / "halves.yaml"
    path.write_text(code_block(EXTENDING, "yaml", "halves"), encoding="utf-8")
    scheme = load_scheme(path)
    assert scheme.total_max == 4
    assert scheme.flip_permutation == (1, 0)


def test_the_example_dataset_loads_a_folder_of_its_form(tmp_path: Path) -> None:
    package = importlib.import_module("lungsev.train.data.datasets").__name__
    names: dict[str, Any] = {"__package__": package, "__name__": f"{package}.yours"}
    exec(compile(code_block(EXTENDING, "python", "LAYOUT"), "extending.md", "exec"), names)
    (tmp_path / "scores.csv").write_text("image,patient,grades\na.png,P1,012301\n", encoding="utf-8")
    (tmp_path / "a.png").touch()
    layout = names["LAYOUT"]
    assert layout.recognises(tmp_path)
    dataset = layout.load(tmp_path, None)
    assert dataset.images[0].reference == (0.0, 1.0, 2.0, 3.0, 0.0, 1.0)
    assert dataset.images[0].patient == "P1"
