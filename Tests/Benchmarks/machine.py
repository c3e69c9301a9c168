# SPDX-License-Identifier: Apache-2.0
"""Processes that a benchmark starts, what they cost, and what they answer."""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import time

PAGE = os.sysconf("SC_PAGE_SIZE")
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, holds, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return
        time.sleep(0.05)
    raise SystemExit(f"{what}: not within {seconds} s")


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
        return True
    return False


class Server:
    """A process with its children."""

    def __init__(self, words, log, environment=None):
        self.log = pathlib.Path(log)
        self.process = subprocess.Popen(
            [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=self.log.open("ab"),
            stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}, start_new_session=True)

    def family(self, name=None):
        """Ids of the process and its descendants; only those whose program has this name."""
        parents = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        found = {self.process.pid}
        while more := {child for child, parent in parents.items() if parent in found} - found:
            found |= more
        return [pid for pid in found if name is None or program(pid) == name]

    def cpu(self, name=None):
        """Seconds of CPU used so far."""
        total = 0
        for pid in self.family(name):
            with contextlib.suppress(OSError):
                total += time.clock_gettime(cpu_clock(pid))
        return total

    def resident(self, name):
        """MiB resident in the largest process of this name."""
        sizes = [0]
        for pid in self.family(name):
            with contextlib.suppress(OSError):
                sizes.append(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20)
        return max(sizes)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def cpu_clock(pid):
    """The clock of a process's CPU time, as clock_getcpuclockid(3) makes it: in ns, where /proc has hundredths of a second."""
    return (~pid << 3) | 2


def program(pid):
    with contextlib.suppress(OSError):
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return os.path.basename(words[0].decode().split(":")[0])
    return None


class Registry(Server):
    """Debian's docker-registry: an upstream, or with `upstream` a pull-through cache."""

    def __init__(self, folder, upstream=None):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        folder.mkdir(parents=True)
        proxy = f"proxy: {{remoteurl: \"http://{upstream}\"}}\n" if upstream else ""
        settings = folder / "registry.yml"
        settings.write_text(
            "version: 0.1\nlog: {level: info, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: \"{self.address}\"}}\n{proxy}")
        super().__init__(["docker-registry", "serve", settings], folder / "log")
        wait_for("docker-registry", lambda: listens(self.port))

    def push(self, name, content):
        """Stores a blob; returns its digest."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        connection = http.client.HTTPConnection(self.address)
        connection.request("POST", f"/v2/{name}/blobs/uploads/")
        answer = connection.getresponse()
        answer.read()
        place = answer.headers["Location"].removeprefix(f"http://{self.address}")
        connection.request("PUT", f"{place}&digest={digest}", content, {"Content-Type": "application/octet-stream"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 201, answer.status
        return digest

    def push_image(self, name, layers, tag="1"):
        """Stores an image of these layers; returns the digests of its manifest and of its layers."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})
        descriptors = [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": self.push(name, layer), "size": len(layer)}
            for layer in layers]
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": self.push(name, config.encode()), "size": len(config)},
            "layers": descriptors}).encode()
        connection = http.client.HTTPConnection(self.address)
        connection.request("PUT", f"/v2/{name}/manifests/{tag}", manifest, {"Content-Type": OCI_MANIFEST})
        assert connection.getresponse().status == 201
        return "sha256:" + hashlib.sha256(manifest).hexdigest(), [layer["digest"] for layer in descriptors]

    def asked(self, digest):
        """How many GETs and HEADs of this blob it has answered."""
        text = self.log.read_text(errors="replace")
        lines = [line for line in text.splitlines() if "response completed" in line and f"/blobs/{digest}" in line]
        return (sum("http.request.method=GET" in line for line in lines),
                sum("http.request.method=HEAD" in line for line in lines))


class Distance(Server):
    """A way to a server that is far: each request waits, and each connection has a limited rate."""

    def __init__(self, folder, upstream, seconds, bytes_per_second):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        folder.mkdir(parents=True)
        program = pathlib.Path(__file__).with_name("distance.py")
        super().__init__(["python3", program, self.port, upstream, seconds, bytes_per_second], folder / "log")
        wait_for("distance", lambda: listens(self.port))


class Nginx(Server):
    def __init__(self, folder, locations, extra=""):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        settings = folder / "nginx.conf"
        settings.write_text(
            f"user root;\nworker_processes 2;\ndaemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
            "events { worker_connections 2048; }\nhttp {\n"
            f"access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n"
            f"client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n"
            f"uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n{extra}\n"
            f"server {{ listen {self.address}; {locations} }}\n}}\n")
        super().__init__([shutil.which("nginx") or "/usr/sbin/nginx", "-c", settings], folder / "log")
        wait_for("nginx", lambda: listens(self.port))


class Entrepot(Server):
    def __init__(self, programs, folder, upstream, *, strict=True, frontends=1, environment=None):
        ports = free_port()
        while any(listens(ports + n) for n in range(frontends)):
            ports = free_port()
        self.addresses = [f"127.0.0.1:{ports + n}" for n in range(frontends)]
        self.address = self.addresses[0]
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            [programs / "entrepot", "up", "--data", folder / "data", "--listen", self.address, "--proxy",
             f"hub=http://{upstream}", "--allow-upstream", "127.0.0.1", "--frontends", frontends],
            folder / "log",
            {"ENTREPOT_ALLOW_PULLS_WITHOUT_STRICT_LOGGING": "false" if strict else "true", **(environment or {})})
        wait_for("entrepot up", lambda: self.is_ready(), 120)

        self.data = folder / "data"
        self.sockets = self.data / "run"

    def stored(self, digest):
        """Files that hold the blob."""
        return list(self.data.glob(f"**/{digest.removeprefix('sha256:')}*"))

    def sql(self, statement):
        run("psql", "-qAtX", "-h", self.sockets, "-U", "entrepot", "-d", "postgres", "-c", statement)

    def is_ready(self):
        if self.process.poll() is not None:
            raise SystemExit(f"entrepot up ended:\n{self.log.read_text()[-2000:]}")
        return "\nready" in "\n" + self.log.read_text(errors="replace")


def run(*words):
    """What a command prints; ends for one that fails."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def skopeo(image, folder):
    """Seconds that a copy of the image into the folder takes."""
    start = time.monotonic()
    run("skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{image}", f"dir:{folder}")
    seconds = time.monotonic() - start
    shutil.rmtree(folder)
    return seconds


ACCEPT = f"Accept: {OCI_MANIFEST}, */*"


def get(url, into="/dev/null"):
    """Reads it all; fails for anything but 200."""
    subprocess.run(["curl", "-sSf", "-H", ACCEPT, "-o", into, url], check=True)


def crowd(places, path, size, bytes_per_second):
    """One client for each of the addresses, all at once, each taking the body at this rate; for each its seconds from the
    request to the first byte of the answer.

    They share a process: as many programs that start would measure how they compete for the cores."""
    buffer = bytearray(2**20)
    clients = []
    for address in places:
        host, port = address.split(":")
        client = socket.create_connection((host, int(port)))
        client.setblocking(False)
        clients.append(client)
    start = time.monotonic()
    for client, address in zip(clients, places):
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
    first, taken, reading = {}, dict.fromkeys(clients, 0), list(clients)
    while reading:
        now = time.monotonic() - start
        if now > 120:
            raise SystemExit(f"{len(reading)} of {len(clients)} clients wait for bytes after {now:.0f} s")
        due = [c for c in reading if c not in first or taken[c] < (now - first[c]) * bytes_per_second]
        if not due:
            time.sleep(0.001)
            continue
        for client in select.select(due, [], [], 0.001)[0]:
            # Little at first: who reads much from one makes the others look late.
            count = client.recv_into(buffer, 0 if client in first else 1024)
            if client not in first:
                first[client] = time.monotonic() - start
                status = bytes(buffer[:count]).split(b"\r\n")[0]
                if b" 200" not in status:
                    raise SystemExit(f"{path}: {status}")
            taken[client] += count
            if not count:
                reading.remove(client)
                client.close()
    # The head is what comes on top.
    if short := [count for count in taken.values() if count <= size]:
        raise SystemExit(f"{len(short)} of {len(clients)} clients got less than {size} bytes")
    return list(first.values())


def download(urls, into="/dev/null"):
    """All at once; for each its seconds to the first byte and to the last."""
    clients = [
        subprocess.Popen(["curl", "-sSf", "-o", into, "-w", "%{time_starttransfer} %{time_total}", url],
                         stdout=subprocess.PIPE, text=True) for url in urls]
    times = []
    for client in clients:
        out, _ = client.communicate()
        if client.returncode:
            raise SystemExit(f"curl ended with {client.returncode}")
        times.append(tuple(float(word) for word in out.split()))
    return times


def load(url, seconds):
    """wrk's requests per second, p50 and p99 in ms, 64 connections."""
    out = run("wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", "-H", ACCEPT, url)
    if "Non-2xx" in out:
        raise SystemExit(f"{url}: {out}")

    def milliseconds(percent):
        number, unit = re.search(rf"^ *{percent}% *([\d.]+)(us|ms|s)$", out, re.M).groups()
        return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]

    return float(re.search(r"Requests/sec: *([\d.]+)", out)[1]), milliseconds(50), milliseconds(99)
