"""The templates of experiments/cluster: they parse, agree with each other and with the program, and run: a server from
server.conf with keys of make-keys, and the Slurm scripts with stand-ins for srun, scancel and scontrol. What is not installed
(shellcheck, systemd-analyze) is named and left out; nats-server and openssl must be there."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "experiments" / "cluster"
PROGRAM = Path(os.environ.get("NAMM_PROGRAM", ROOT / "build" / "namm"))
SMOKE = ROOT / "configs" / "run" / "smoke.yaml"
sys.path.insert(0, str(ROOT))

from tests.evolution.queue.processes import ServerProcess, free_port, wait_until  # noqa: E402


def run(*words, check=True, **options):
    done = subprocess.run([*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{words}: status {done.returncode}\n{done.stdout}")
    return done


def states(directory):
    rows = [json.loads(line) for line in (Path(directory) / "log.jsonl").read_text().splitlines()]
    return [(row["generation"], row["state_sha256"]) for row in rows]


class Templates(unittest.TestCase):
    def test_scripts_are_sound(self):
        scripts = sorted(CLUSTER.glob("*.sbatch"))
        self.assertEqual(len(scripts), 2)
        for script in scripts:
            run("bash", "-n", script)
            self.assertTrue(os.access(script, os.X_OK), script)
            # Slurm reads its lines up to the first command only.
            lines = script.read_text().splitlines()
            first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
            places = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
            self.assertLess(max(places), first_command, script)
            for wanted in ("--requeue", "--signal=B:USR1@", "--open-mode=append", "--time="):
                self.assertTrue(any(wanted in lines[i] for i in places), f"{script}: {wanted}")
        if shutil.which("shellcheck"):
            run("shellcheck", *scripts)
        else:
            print("shellcheck is not installed: left out")

    def test_unit_file(self):
        unit = (CLUSTER / "namm-worker@.service").read_text()
        self.assertIn("EnvironmentFile=", unit)
        self.assertIn("\nRestartPreventExitStatus=2 3\n", unit, "a wrong setting is not tried again")
        self.assertNotRegex(unit, r"(?m)^[^#]*TOKEN", "a secret's place is the environment file")
        if not shutil.which("systemd-analyze"):
            print("systemd-analyze is not installed: left out")
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "namm-worker@0.service"
            path.write_text(unit.replace("/opt/namm/build/namm", shutil.which("true")))
            done = run("systemd-analyze", "verify", "--man=no", path, check=False)
            ours = [line for line in done.stdout.splitlines() if "namm-worker" in line]
            self.assertEqual(ours, [], done.stdout)
            path.write_text(path.read_text().replace("Restart=always", "Restart=perhaps"))
            self.assertIn("namm-worker", run("systemd-analyze", "verify", "--man=no", path, check=False).stdout)

    def test_options_and_commands_exist(self):
        """Every `namm COMMAND ... --option` of the templates and the README is one that the program has."""
        texts = {path.name: path.read_text() for path in CLUSTER.iterdir() if path.is_file()}
        commands = run(PROGRAM, "--help").stdout
        known, seen = {}, set()
        for name, text in texts.items():
            text = text.replace("\\\n", " ").replace('"${NAMM_PROGRAM:-namm}"', "namm").replace("build/namm", "namm")
            for line in text.splitlines():
                for command, rest in re.findall(r"\bnamm (run|worker|plan)\b([^#|`\n]*)", line):
                    if not re.search(rf"(?m)^ +{command}\b", commands):
                        print(f"{name}: this build has no `namm {command}`: left out")
                        continue
                    if command not in known:
                        known[command] = set(re.findall(r"--[a-z][a-z-]+", run(PROGRAM, command, "--help").stdout))
                    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", rest):
                        seen.add((command, option))
                        self.assertIn(option, known[command], f"{name}: namm {command}{rest}")
        self.assertGreater(len(seen), 6, seen)
        # In lists of words, which no pattern of a command line finds.
        everything = "\n".join(texts.values())
        for option in set(re.findall(r"--(?:queue|idle)[a-z-]*", everything)):
            self.assertIn(option, known["worker"], option)

    def test_image_is_made_by_commands_that_exist(self):
        text = (CLUSTER / "Dockerfile").read_text()
        self.assertIn("--no-build", (ROOT / "setup.sh").read_text())
        presets = json.loads((ROOT / "CMakePresets.json").read_text())
        for preset in re.findall(r"--preset (\w+)", text):
            self.assertIn(preset, [p["name"] for p in presets["configurePresets"]])
            self.assertIn(preset, [p["name"] for p in presets["buildPresets"]])


class Kubernetes(unittest.TestCase):
    def setUp(self):
        self.text = (CLUSTER / "kubernetes.yaml").read_text()
        self.objects = {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(self.text)}
        # Secrets are made by the commands at the file's head.
        commands = [line.lstrip("# ") for line in self.text.splitlines() if "kubectl create secret" in line]
        self.secrets = {}
        for words in map(shlex.split, commands):
            keys = {word.split("=")[1]: word.split("=")[2] for word in words if word.startswith("--from-file=")}
            self.secrets[words[4]] = keys

    def pods(self):
        for (kind, name), thing in self.objects.items():
            if kind in ("Job", "StatefulSet", "Deployment"):
                yield name, thing, thing["spec"]["template"]["spec"]

    def container(self, job):
        (container,) = self.objects[job]["spec"]["template"]["spec"]["containers"]
        return container

    def test_secrets_volumes_and_keys_that_are_named_exist(self):
        used = set()
        claims = {name for kind, name in self.objects if kind == "PersistentVolumeClaim"}
        for name, thing, pod in self.pods():
            volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
            volumes.update({claim["metadata"]["name"]: {} for claim in thing["spec"].get("volumeClaimTemplates", [])})
            for volume in volumes.values():
                if "secret" in volume:
                    secret = volume["secret"]["secretName"]
                    for item in volume["secret"]["items"]:
                        self.assertIn(item["key"], self.secrets[secret], name)
                        used.add((secret, item["key"]))
                if "configMap" in volume:
                    self.assertIn(("ConfigMap", volume["configMap"]["name"]), self.objects)
                if "persistentVolumeClaim" in volume:
                    self.assertIn(volume["persistentVolumeClaim"]["claimName"], claims)
            for container in pod["containers"]:
                mounted = {mount["name"] for mount in container["volumeMounts"]}
                self.assertEqual(mounted, set(volumes), f"{name}: volumes and mounts differ")
                for variable in container.get("env", []):
                    reference = variable["valueFrom"]["secretKeyRef"]
                    self.assertIn(reference["key"], self.secrets[reference["name"]], name)
                    used.add((reference["name"], reference["key"]))
        self.assertEqual(used, {(secret, key) for secret, keys in self.secrets.items() for key in keys})
        # Clients are given the authority and not the server's key.
        for job in ("namm-run", "namm-workers"):
            self.assertNotIn("server-key", json.dumps(self.objects["Job", job]))

    def test_the_token_is_made_without_a_line_break_and_for_its_owner_only(self):
        (line,) = (line.lstrip("# ") for line in self.text.splitlines() if "openssl rand" in line)
        with tempfile.TemporaryDirectory() as folder:
            run("sh", "-euc", line, cwd=folder)
            token = Path(folder) / "token"
            self.assertRegex(token.read_bytes(), rb"\A[0-9a-f]{64}\Z")
            self.assertEqual(token.stat().st_mode & 0o777, 0o600)

    def test_jobs_end_where_a_person_is_needed(self):
        for name in ("namm-run", "namm-workers"):
            spec = self.objects["Job", name]["spec"]
            (container,) = spec["template"]["spec"]["containers"]
            rules = spec["podFailurePolicy"]["rules"]
            (codes,) = (rule["onExitCodes"] for rule in rules if rule["action"] == "FailJob")
            self.assertEqual(codes, {"containerName": container["name"], "operator": "In", "values": [2, 3]})

    def test_names_labels_and_ports_agree(self):
        service = self.objects["Service", "namm-queue"]
        server = self.objects["StatefulSet", "namm-queue"]
        labels = server["spec"]["template"]["metadata"]["labels"]
        self.assertEqual(service["spec"]["selector"], labels)
        self.assertEqual(server["spec"]["selector"]["matchLabels"], labels)
        self.assertEqual(server["spec"]["serviceName"], "namm-queue")
        ports = {port["name"]: port["containerPort"] for port in self.container(("StatefulSet", "namm-queue"))["ports"]}
        (port,) = service["spec"]["ports"]
        self.assertIn(port["targetPort"], ports)
        settings = self.objects["ConfigMap", "namm-queue"]["data"]["server.conf"]
        self.assertIn(f':{ports["client"]}"', settings)
        (monitor,) = re.findall(r'http: "([^"]+)"', settings)
        self.assertTrue(monitor.startswith("127.0.0.1:"), "the monitoring page asks for no token")
        probe = self.container(("StatefulSet", "namm-queue"))["readinessProbe"]["exec"]["command"]
        self.assertIn(f"http://{monitor}/healthz", probe)
        addresses = re.findall(r"tls://([a-z-]+):(\d+)", self.text)
        self.assertEqual(set(addresses), {(service["metadata"]["name"], str(port["port"]))})
        self.assertGreaterEqual(len(addresses), 2)
        self.assertIn(service["metadata"]["name"], re.search(r"make-keys keys (.*)", self.text).group(1).split())

    def test_jobs_come_back(self):
        for job, least in (("namm-run", 60), ("namm-workers", 60)):
            spec = self.objects["Job", job]["spec"]
            self.assertEqual(spec["template"]["spec"]["restartPolicy"], "Never", "which the policy needs")
            self.assertGreaterEqual(spec["template"]["spec"]["terminationGracePeriodSeconds"], least)
            self.assertGreater(spec["backoffLimit"], 6)
        worker = self.container(("Job", "namm-workers"))
        self.assertEqual(worker["resources"]["limits"]["nvidia.com/gpu"], 1)
        self.assertEqual(worker["image"], self.container(("Job", "namm-run"))["image"], "one build for both")
        self.assertGreater(self.objects["Job", "namm-workers"]["spec"]["parallelism"], 1)

    def test_the_coordinator_begins_and_goes_on(self):
        script = self.container(("Job", "namm-run"))["command"][2]
        with tempfile.TemporaryDirectory() as folder:
            runs = Path(folder) / "runs"
            program = Path(folder) / "namm"
            program.write_text('#!/bin/sh\necho "$@"\n')
            program.chmod(0o755)
            environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
            script = script.replace("/runs", str(runs))
            self.assertIn(f"--out {runs}/my-run", run("/bin/sh", "-euc", script, env=environment).stdout)
            (runs / "my-run").mkdir(parents=True)
            again = run("/bin/sh", "-euc", script, env=environment).stdout
            self.assertIn(f"run --resume {runs}/my-run --queue tls://", again)
            self.assertNotIn("--out", again)

    def test_the_server_takes_its_settings(self):
        with tempfile.TemporaryDirectory() as folder:
            run(CLUSTER / "make-keys", f"{folder}/keys", "namm-queue")
            settings = self.objects["ConfigMap", "namm-queue"]["data"]["server.conf"]
            path = Path(folder) / "server.conf"
            path.write_text(settings.replace("/etc/namm-queue", f"{folder}/keys").replace('"/data"', f'"{folder}/data"'))
            run("nats-server", "-t", "-c", path, env={**os.environ, "NAMM_QUEUE_TOKEN": "0123abcd"})
            self.assertNotEqual(run("nats-server", "-t", "-c", path, check=False).returncode, 0, "without a token")
            path.write_text(path.read_text() + "\nno_such_setting: 1\n")
            self.assertNotEqual(run("nats-server", "-t", "-c", path, check=False).returncode, 0)


SRUN = """
# As the real one: options first; a SIGTERM to srun kills the step.
echo "$@" >> "$FAKE/srun"
while [[ $1 == --* ]]; do shift; done
trap 'kill -KILL $task' TERM
"$@" & task=$!
echo $task > "$FAKE/task"
status=0; wait $task || status=$?
exit $status
"""
SCANCEL = 'echo "$@" >> "$FAKE/scancel"; [ "$1" = --signal=TERM ] && kill -TERM "$(cat "$FAKE/task")"'
SCONTROL = 'echo "$@" >> "$FAKE/scontrol"'


class Slurm(unittest.TestCase):
    """A server from server.conf, a run and a worker from the batch scripts."""

    @classmethod
    def setUpClass(cls):
        cls.undisturbed_folder = tempfile.TemporaryDirectory(prefix="namm_cluster_")
        cls.undisturbed = cls.undisturbed_states()

    @classmethod
    def undisturbed_states(cls, *arguments):
        directory = Path(cls.undisturbed_folder.name) / f"run{len(arguments)}"
        run(PROGRAM, "run", SMOKE, *arguments, "--device", "cpu", "--out", directory)
        return states(directory)

    @classmethod
    def tearDownClass(cls):
        cls.undisturbed_folder.cleanup()

    def setUp(self):
        # A process that was killed may still be writing its last.
        scratch = tempfile.TemporaryDirectory(prefix="namm_cluster_", ignore_cleanup_errors=True)
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.programs, self.fake = self.folder / "programs", self.folder / "calls"
        self.programs.mkdir()
        self.fake.mkdir()
        for name, body in (("srun", SRUN), ("scancel", SCANCEL), ("scontrol", SCONTROL)):
            (self.programs / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
            (self.programs / name).chmod(0o755)
        self.port = free_port()
        self.start_server()

    def start_server(self):
        self.keys = self.folder / "keys"
        user = run(CLUSTER / "make-keys", self.keys, "localhost", "127.0.0.1").stdout.strip()
        for secret in ("server-key.pem", "user.nk"):
            self.assertEqual((self.keys / secret).stat().st_mode & 0o077, 0, f"{secret} is open to others")
        text = (CLUSTER / "server.conf").read_text()
        for there, here in (
            ("/etc/namm-queue", self.keys),
            ("/var/lib/namm-queue", self.folder / "store"),
            ("0.0.0.0:4222", f"127.0.0.1:{self.port}"),
            ("127.0.0.1:8222", f"127.0.0.1:{free_port()}"),
        ):
            self.assertIn(there, text)
            text = text.replace(there, str(here))
        path = self.folder / "server.conf"
        path.write_text(text)
        environment = {**os.environ, "NAMM_QUEUE_USER": user}
        run("nats-server", "-t", "-c", path, env=environment)
        log = self.folder / "server.log"
        server = ServerProcess(path, log, lambda: "Server is ready" in log.read_text(), environment)
        self.addCleanup(server.kill)
        server.start()

    def batch(self, script, *arguments, name="job", **variables):
        """The script as Slurm would run it, its output in a file."""
        words = [str(CLUSTER / script), *map(str, arguments), "--queue-ca", self.keys / "ca.pem", "--queue-nkey", self.keys / "user.nk"]
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("NAMM_", "SLURM_", "CUDA_"))},
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "FAKE": str(self.fake),
            "SLURM_JOB_ID": "17",
            "SLURM_CPUS_PER_TASK": "1",
            "OMP_NUM_THREADS": "1",
            "NAMM_QUEUE": f"tls://127.0.0.1:{self.port}",
            "NAMM_PROGRAM": str(PROGRAM),
            "NAMM_DEVICE": "cpu",
            "NAMM_RESTART_SECONDS": "0.2",
            **variables,
        }
        log = self.folder / f"{name}.log"
        with open(log, "a") as stream:
            job = subprocess.Popen([str(word) for word in words], stdout=stream, stderr=stream, env=environment)
        job.log = log
        self.addCleanup(job.wait)
        self.addCleanup(job.kill)
        self.addCleanup(self.kill_task)
        return job

    def kill_task(self):
        task = self.task()
        if task:
            try:
                os.kill(task, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def task(self):
        file = self.fake / "task"
        return int(file.read_text()) if file.exists() and file.read_text().strip() else 0

    def calls(self, name):
        file = self.fake / name
        return file.read_text().splitlines() if file.exists() else []

    def finish(self, job, status=0, seconds=240):
        try:
            self.assertEqual(job.wait(timeout=seconds), status, job.log.read_text())
        except subprocess.TimeoutExpired:
            self.fail(f"{job.args[0]} did not end:\n{job.log.read_text()}")

    def coordinator(self, *arguments, **variables):
        return self.batch("slurm-coordinator.sbatch", self.folder / "run", SMOKE, *arguments, name="coordinator", **variables)

    def worker(self, *arguments, **variables):
        return self.batch("slurm-worker.sbatch", *arguments, name="worker", **{"NAMM_IDLE_SECONDS": "2", **variables})

    def assert_state(self):
        self.assertEqual(states(self.folder / "run"), self.undisturbed)

    def test_a_run_and_a_worker_that_ends_when_none_is_left(self):
        archive = ROOT / "models" / "tiny" / "tiny-llama.pt"
        worker = self.worker(f"model.archive={archive}", NAMM_IDLE_SECONDS="240")
        coordinator = self.coordinator()
        self.finish(coordinator)
        self.assert_state()
        worker.send_signal(signal.SIGUSR1)
        self.finish(worker)
        (call,) = self.calls("srun")
        self.assertIn("--kill-on-bad-exit=0 --no-kill", call)
        self.assertRegex(worker.log.read_text(), "[1-9][0-9]* items evaluated")

    def test_a_worker_without_a_run_ends(self):
        self.finish(self.worker())
        self.assertEqual(self.calls("scontrol"), [])
        self.assertIn("no run to serve", (self.folder / "worker.log").read_text())

    def test_time_limits_of_worker_and_coordinator(self):
        # So many that the run is not done before the signal arrives.
        longer = "stages.0.evolve.generations=20"
        self.worker_at_limit = self.worker(NAMM_IDLE_SECONDS="240")
        coordinator = self.coordinator(longer)
        wait_until(lambda: (self.folder / "run" / "log.jsonl").exists(), what="the first generation")
        coordinator.send_signal(signal.SIGUSR1)
        self.finish(coordinator)
        self.assertEqual(self.calls("scontrol"), ["requeue 17"], coordinator.log.read_text())
        self.assertLess(len(states(self.folder / "run")), 20, "it was done before its limit")
        self.worker_at_limit.send_signal(signal.SIGUSR1)
        self.finish(self.worker_at_limit)
        self.assertEqual(self.calls("scancel"), ["--signal=TERM 17"])
        self.assertEqual(self.calls("scontrol"), ["requeue 17"] * 2)
        self.assertIn("items evaluated", self.worker_at_limit.log.read_text())
        # Both requeued.
        self.worker(NAMM_IDLE_SECONDS="240")
        self.finish(self.coordinator(longer))
        self.assertEqual(states(self.folder / "run"), self.undisturbed_states(longer))

    def test_a_cancelled_coordinator_is_not_requeued(self):
        coordinator = self.coordinator()
        wait_until(lambda: (self.folder / "run" / "config.yaml").exists(), what="the run")
        wait_until(lambda: "its workers are started with" in coordinator.log.read_text(), what="the queue")
        coordinator.send_signal(signal.SIGTERM)
        self.finish(coordinator, 130)
        self.assertEqual(self.calls("scontrol"), [])

    def test_a_dead_worker_is_started_again(self):
        worker = self.worker(NAMM_IDLE_SECONDS="240")
        coordinator = self.coordinator()
        wait_until(lambda: "serving run" in worker.log.read_text(), what="the worker")
        os.kill(wait_until(self.task, what="the worker's process"), signal.SIGKILL)
        self.finish(coordinator)
        self.assert_state()
        wait_until(lambda: len(self.calls("srun")) == 2, what="another worker")
        self.assertIn("ended with status 137", worker.log.read_text())

    def test_what_cannot_work_is_refused_at_once(self):
        self.finish(self.worker(NAMM_QUEUE=""), 2)
        self.finish(self.worker(NAMM_QUEUE="http://127.0.0.1"), 2)
        self.finish(self.worker(NAMM_QUEUE_TOKEN_FILE=str(self.folder / "gone")), 2)
        self.finish(self.worker(SLURM_JOB_ID=""), 2)
        self.finish(self.worker(NAMM_DEVICE="cuda"), 2)
        self.assertIn("gave this element no GPU", (self.folder / "worker.log").read_text())
        self.finish(self.coordinator(NAMM_QUEUE=""), 2)
        self.finish(self.coordinator("no.such.key=1"), 2)
        self.assertEqual(self.calls("scontrol"), [])

    def test_the_gpu_that_slurm_gave_is_the_workers(self):
        program = self.folder / "program"
        program.write_text('#!/bin/sh\necho "gpu=$CUDA_VISIBLE_DEVICES $@" >> "$FAKE/program"\n')
        program.chmod(0o755)
        given = ({"CUDA_VISIBLE_DEVICES": "3"}, {"CUDA_VISIBLE_DEVICES": "GPU-1a,GPU-2b"}, {"SLURM_JOB_GPUS": "5,6"})
        for variables in given:
            self.finish(self.worker(NAMM_PROGRAM=str(program), NAMM_DEVICE="cuda", **variables))
        lines = self.calls("program")
        self.assertEqual([line.split()[0] for line in lines], ["gpu=3", "gpu=GPU-1a", "gpu=5"])
        self.assertTrue(all("--device cuda" in line for line in lines), lines)

    def test_the_token_is_read_from_its_file(self):
        program = self.folder / "program"
        program.write_text('#!/bin/sh\necho "$NAMM_QUEUE_TOKEN" >> "$FAKE/program"; echo "$@" >> "$FAKE/words"\n')
        program.chmod(0o755)
        token = self.folder / "token"
        token.write_text("s3cret\n")
        variables = {"NAMM_PROGRAM": str(program), "NAMM_QUEUE_TOKEN_FILE": str(token)}
        self.finish(self.worker(**variables))
        self.finish(self.coordinator(**variables))
        self.assertEqual(self.calls("program"), ["s3cret", "s3cret"])
        self.assertNotIn("s3cret", "".join(self.calls("words") + self.calls("srun")))


class Keys(unittest.TestCase):
    def test_wrong_calls(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(run(CLUSTER / "make-keys", check=False).returncode, 2)
            self.assertEqual(run(CLUSTER / "make-keys", folder, "host", check=False).returncode, 2, "it exists")
            self.assertEqual(os.listdir(folder), [])

    def test_certificate_is_for_the_hosts_and_signed_by_the_authority(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = Path(folder) / "keys"
            user = run(CLUSTER / "make-keys", keys, "queue.example", "10.0.0.5").stdout.strip()
            self.assertEqual(sorted(os.listdir(keys)), ["ca.pem", "server-key.pem", "server.pem", "user.nk"])
            run("openssl", "verify", "-CAfile", keys / "ca.pem", "-purpose", "sslserver", keys / "server.pem")
            text = run("openssl", "x509", "-in", keys / "server.pem", "-noout", "-text").stdout
            self.assertIn("DNS:queue.example, IP Address:10.0.0.5", text)
            seed, name = (keys / "user.nk").read_text().split()
            self.assertEqual(name, user)
            self.assertTrue(seed.startswith("SU") and name.startswith("U"))
            self.assertEqual((len(seed), len(name)), (58, 56))


if __name__ == "__main__":
    unittest.main(verbosity=2)
