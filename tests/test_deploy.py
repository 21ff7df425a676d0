"""What `deploy/` says, held against the repository: Docker itself is not needed here."""

import fnmatch
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import app
from components.runs import queues
from pipelines.image.request import ImageRequest
from pipelines.image.stepper import MAX_RUNS
from pipelines.serving import engine, ray_engine
from pipelines.serving.work import ROLES
from tools import build_space

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile, in order: each one's name and what follows, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines if line)]


@pytest.fixture(scope="module")
def environment(instructions: list[tuple[str, str]]) -> dict[str, str]:
    return dict(re.findall(r"(\w+)=(\S+)", next(rest for name, rest in instructions if name == "ENV")))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def proxy() -> str:
    """Settings of nginx without comments."""
    return re.sub(r"\s*#.*", "", (DEPLOY / "nginx.conf").read_text("utf-8"))


def pages(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in compose["services"].items() if name != "proxy"}


def is_sent(path: Path) -> bool:
    """Whether Docker is given a file of the repository; the last rule that fits decides."""
    sent = True
    parts = path.relative_to(ROOT).parts
    heads = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    for rule in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = rule.removeprefix("!").replace("**/", "*/")
        if not rule.startswith("#") and any(fnmatch.fnmatch(head, pattern) for head in heads):
            sent = rule.startswith("!")
    return sent


def test_the_image_holds_all_that_the_app_needs(instructions: list[tuple[str, str]]) -> None:
    sources = [word for name, rest in instructions if name == "COPY" for word in rest.split()[:-1]]
    assert sources and all((ROOT / source).exists() for source in sources)
    copied = [path for s in sources for path in [ROOT / s, *(ROOT / s).rglob("*")] if path.is_file()]
    assert {ROOT / path for path in build_space.contents()} <= {path for path in copied if is_sent(path)}
    assert not is_sent(ROOT / "tests" / "conftest.py") and not is_sent(ROOT / ".git" / "config")
    assert not is_sent(ROOT / "components" / "ui" / "__pycache__" / "scene.pyc")


def test_the_image_has_the_projects_versions(instructions: list[tuple[str, str]]) -> None:
    front = (ROOT / "README.md").read_text("utf-8")
    python = re.search(r'^python_version: "(\S+)"$', front, re.MULTILINE)
    assert python is not None and instructions[0] == ("FROM", f"python:{python[1]}-slim-bookworm")
    (install,) = [rest for name, rest in instructions if name == "RUN" and "pip install" in rest]
    # torch and its kin come from the list in both kinds of image, so that no version stands twice
    assert install.count("-r requirements.txt") == 2
    assert ("ARG", "ENGINE=local") in instructions and "-r requirements-ray.txt" in install
    assert set(re.findall(r"(\w+)==", install)) == {"uv"}
    assert ("ARG", "DEVICE=cpu") in instructions and "cpu)" in install and "cuda)" in install


def test_the_image_runs_as_nobody_in_particular(instructions: list[tuple[str, str]]) -> None:
    names = [name for name, _ in instructions]
    users = [rest for name, rest in instructions if name == "USER"]
    assert len(users) == 1 and re.fullmatch(r"[1-9]\d+:[1-9]\d+", users[0])
    assert names.index("USER") > max(i for i, name in enumerate(names) if name in ("COPY", "RUN"))
    owner, group = users[0].split(":")
    assert any(f"-o {owner} -g {group} -m 700 /data" in rest for name, rest in instructions if name == "RUN")


def test_the_image_starts_the_app_where_it_is_looked_for(
    instructions: list[tuple[str, str]], environment: dict[str, str]
) -> None:
    said = dict(instructions)
    program, script = json.loads(said["CMD"])  # no shell, which would keep the ending's signal to itself
    assert program == "python" and (ROOT / script).is_file()
    assert said["EXPOSE"] == environment["PORT"] and f":{environment['PORT']}/" in said["HEALTHCHECK"]
    assert said["VOLUME"] == environment["STEUERVEKTOR_DATA"]
    assert Path(environment["HF_HOME"]).is_relative_to(said["VOLUME"])
    code = "".join(path.read_text("utf-8") for path in build_space.modules())
    own = [name for name in environment if name not in ("HF_HOME", "PYTHONUNBUFFERED")]
    assert all(f'"{name}"' in code for name in own)


def test_every_page_process_is_shut_in_and_has_a_volume_of_its_own(
    compose: dict[str, Any], instructions: list[tuple[str, str]]
) -> None:
    data = dict(instructions)["VOLUME"]
    services = pages(compose)
    assert len(services) >= 2
    for service in compose["services"].values():
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and "/tmp" in service["tmpfs"]
        assert service["security_opt"] == ["no-new-privileges:true"] and not service.get("privileged")
    for service in services.values():
        context = (DEPLOY / service["build"]["context"]).resolve()
        assert context == ROOT and (context / service["build"]["dockerfile"]).is_file()
        assert service["build"]["args"]["DEVICE"] in ("cpu", "cuda")
        assert "ports" not in service, "pages are reached through the proxy alone"
    volumes = [volume for service in services.values() for volume in service["volumes"]]
    assert [volume.partition(":")[2] for volume in volumes] == [data] * len(services)
    assert {volume.partition(":")[0] for volume in volumes} == set(compose["volumes"])
    assert len(compose["volumes"]) == len(services)


def test_the_proxy_leads_to_each_page_process_under_the_folder_that_it_knows(
    compose: dict[str, Any], proxy: str, environment: dict[str, str]
) -> None:
    ways = re.findall(r"location (/\S+)/ \{ proxy_pass http://(\w+):(\d+)/; \}", proxy)
    roots = {name: each["environment"]["GRADIO_ROOT_PATH"] for name, each in pages(compose).items()}
    assert {service: folder for folder, service, _ in ways} == roots
    assert {port for *_, port in ways} == {environment["PORT"]}
    shares = re.search(r"split_clients \S+ \$page \{(.*?)\}", proxy, re.DOTALL)
    assert shares is not None
    assert {f"/{number}" for number in re.findall(r"\s(\d+);", shares[1])} == set(roots.values())
    assert sorted(compose["services"]["proxy"]["depends_on"]) == sorted(roots)


@pytest.fixture(scope="module")
def ray_service() -> tuple[dict[str, Any], dict[str, Any]]:
    """The RayService, and the service that visitors reach."""
    service, way_in = yaml.safe_load_all((DEPLOY / "serve.yaml").read_text("utf-8"))
    return service, way_in


def pods(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Head and groups of workers by name."""
    cluster = service["spec"]["rayClusterConfig"]
    return {"head": cluster["headGroupSpec"]} | {
        each["groupName"]: each for each in cluster["workerGroupSpecs"]
    }


def test_the_cluster_runs_the_version_that_is_listed_in_an_image_that_holds_it(
    ray_service: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    service, _ = ray_service
    assert (service["apiVersion"], service["kind"]) == ("ray.io/v1", "RayService")
    listed = re.search(
        r"^ray\[serve\]==(\S+)$", (ROOT / "requirements-ray.txt").read_text("utf-8"), re.MULTILINE
    )
    assert listed is not None and service["spec"]["rayClusterConfig"]["rayVersion"] == listed[1]
    images = {pod["template"]["spec"]["containers"][0]["image"] for pod in pods(service).values()}
    assert images == {"steuervektor:ray"}
    assert "-t steuervektor:ray --build-arg ENGINE=ray" in (DEPLOY / "Dockerfile").read_text("utf-8")


def test_every_role_has_an_application_that_the_code_builds(
    ray_service: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    said = yaml.safe_load(ray_service[0]["spec"]["serveConfigV2"])
    assert said["proxy_location"] == "Disabled", "models are not reached by HTTP"
    assert {each["args"]["role"] for each in said["applications"]} == set(ROLES)
    for each in said["applications"]:
        module, _, function = each["import_path"].partition(":")
        assert callable(vars(sys.modules[module])[function])
        assert each["name"] == ray_engine.app_name(each["args"]["role"]) and each["route_prefix"] is None
        fewest, most = map(int, each["args"]["replicas"].split("-"))
        assert 1 <= fewest <= most and all(isinstance(value, str) for value in each["args"].values())


def test_the_cluster_fits_its_nodes_and_is_shut_in(
    ray_service: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    service, way_in = ray_service
    cluster, found = service["spec"]["rayClusterConfig"], pods(service)
    assert cluster["authOptions"] == {"mode": "token"} and found["head"]["serviceType"] == "ClusterIP"
    for pod in found.values():
        assert pod["template"]["spec"]["securityContext"]["runAsNonRoot"]
        assert "$KUBERAY_GEN_RAY_START_CMD" in pod["template"]["spec"]["containers"][0]["args"][0]
    # models stand where models are meant to stand, and one node of theirs holds the fewest of each
    assert [name for name in found if found[name]["rayStartParams"].get("num-cpus") != "0"] == ["models"]
    applications = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    least = sum(int(a["args"]["replicas"].split("-")[0]) * float(a["args"]["cpus"]) for a in applications)
    assert least <= float(found["models"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    page = found["page"]["template"]
    environment = {each["name"]: each["value"] for each in page["spec"]["containers"][0]["env"]}
    assert environment["STEUERVEKTOR_ENGINE"] in engine.ENGINES and environment["RAY_ADDRESS"] == "auto"
    assert way_in["spec"]["selector"] == page["metadata"]["labels"] and way_in["spec"]["type"] == "ClusterIP"


@pytest.mark.slow
def test_ray_reads_the_applications(ray_service: tuple[dict[str, Any], dict[str, Any]]) -> None:
    schema = pytest.importorskip("ray.serve.schema", reason="needs requirements-ray.txt")
    said = schema.ServeDeploySchema(**yaml.safe_load(ray_service[0]["spec"]["serveConfigV2"]))
    for each in said.applications:
        built = ray_engine.build(each.args)
        assert built._bound_deployment.name == each.args["role"]
        assert built._bound_deployment._deployment_config.autoscaling_config is not None


def test_the_proxy_is_told_what_the_readmes_is(compose: dict[str, Any], proxy: str) -> None:
    block = re.search(r"```nginx\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert block is not None
    setting = re.compile(r"^\s*((?:proxy_(?!pass)|client_)[^;]+);", re.MULTILINE)
    assert setting.findall(block[1]) == setting.findall(proxy)
    listens = re.search(r"listen (\d+);", proxy)
    service = compose["services"]["proxy"]
    assert listens is not None and service["ports"] == [f"{listens[1]}:{listens[1]}"]
    source, _, _ = service["volumes"][0].partition(":")
    assert (DEPLOY / source).is_file()


def test_what_courses_need_follows_from_the_costs_that_are_written_above() -> None:
    text = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    cost = re.search(r"`s` = (\d+) × ([\d.]+) / (\d+) =\s+([\d.]+) s", text)
    most = re.search(r"`M = N / (\d+)`", text)
    assert cost is not None and most is not None
    steps, step_s, batch, picture_s, visitors = map(float, (*cost.groups(), most[1]))
    assert steps == ImageRequest("a cat").num_inference_steps
    assert f"| a step of eight pictures at once | {step_s:.2f} s |" in text and batch == 8
    assert picture_s == steps * step_s / batch
    rows = re.findall(r"^\| ([\d,]+) \| (\d+) s \| (\d+) \| (\d+) s \|$", text, re.MULTILINE)
    assert [row[0] for row in rows] == ["30", "300", "300", "3,000", "3,000"]
    for people, every, machines, last in rows:
        n = int(people.replace(",", ""))
        wanted = max(math.ceil(n * picture_s / (0.7 * int(every))), math.ceil(n / visitors))
        assert (wanted, round(n * picture_s / wanted)) == (int(machines), int(last))


def test_the_bounds_that_are_written_are_those_of_the_code() -> None:
    text = " ".join((ROOT / "docs" / "scaling.md").read_text("utf-8").split())
    code = (ROOT / "app.py").read_text("utf-8")
    assert f"{app.launch_options()['state_session_capacity']} sessions" in text
    line = re.search(r"queue\(max_size=(\d+)", code)
    assert line is not None and f"{line[1]} calls in line" in text
    assert f"{MAX_RUNS} picture runs" in text
    for queue in (queues.FILM, queues.AUDIO, queues.TRAINING):
        assert f"{queue['concurrency_limit']} films, sounds and trainings each" in text
