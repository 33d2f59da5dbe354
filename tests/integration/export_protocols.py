#!/usr/bin/env python3
"""Every protocol delivers what the pprof file of the same window says, field by field, to receivers that are not ours."""
import test_venv  # noqa: F401  (enters BUILD/venv)

import gzip
import json
import os
import ssl
import subprocess
import tempfile
import time
from collections import Counter

import grpc

import otlp_rules
import pprof
from certificates import authority, signed
from export_lib import BUILD, SENT, TYPES, Child, config, expect, window, write
from receivers import Grpc, Http, ingest, push_series

ALL = ["comm", "thread", "pid", "tid", "cgroup"]


def merge(requests):
    out = {}
    for request in requests:
        otlp_rules.check_rules(request)
        for name, values in otlp_rules.contents(request).items():
            out.setdefault(name, Counter()).update(values)
    return out


def expect_same(requests, path, what, keep=lambda label: True):
    got, want = merge(requests), otlp_rules.contents_of_pprof(pprof.Profile(path), keep)
    if ("cpu", "nanoseconds") in want and ("cpu", "nanoseconds") not in got:
        period = pprof.Profile(path).period  # said by the count
        got["cpu", "nanoseconds"] = Counter({k: v * period for k, v in got["samples", "count"].items()})
    expect(set(got) == set(want), f"{what}: sample types {set(got)} are not {set(want)}")
    for name in want:
        expect(got[name] == want[name], f"{what}: {name} differs")


def send(protocol, url, path, files=None, **more):
    with Child(config(protocol, url, **more), files) as child:
        reply = child.send(path)
        expect(reply.outcome == SENT, f"{protocol}: {reply}")
        return reply


def otlp_http(directory):
    for i, kind in enumerate(TYPES):
        path = write(directory, kind + ".pb.gz", window(400, kind, seed=i))
        for compression in ("gzip", "zstd", "none"):
            server = Http()
            send("otlp-http", server.url, path, compression=compression, attributes=ALL)
            expect(server.requests[0][0] == "/v1development/profiles", server.requests[0][0])
            expect_same(server.otlp(), path, f"otlp-http {kind} {compression}")
            server.close()
    print("otlp-http: all profile types, gzip, zstd and none: equal to the pprof file, by the rules")


def otlp_grpc(directory):
    path = write(directory, "w.pb.gz", window(3000))
    for compression, answer in (("gzip", None), ("gzip", grpc.Compression.Gzip), ("none", None)):
        server = Grpc(compression=answer)
        send("otlp-grpc", server.url, path, compression=compression, attributes=ALL)
        send("otlp-grpc", server.url, path, compression=compression, attributes=ALL)
        expect(len(server.requests) == 2, "two windows, two calls")
        expect(server.requests[0] == server.requests[1], "the same window is not the same request")
        expect_same(server.requests[:1], path, f"otlp-grpc {compression}")
        server.close()
    print("otlp-grpc: equal over h2c, answers plain and gzip'd; a window sent again is the same request")


def certificates(directory):
    authority(directory)
    signed(directory, "server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    signed(directory, "client", "keyUsage=digitalSignature")
    return {n: os.path.join(directory, n) for n in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")}


def tls(directory):
    c = certificates(directory)
    path = write(directory, "w.pb.gz", window(500))
    token = write(directory, "token", b"s3cret\n")
    read = lambda name: open(c[name], "rb").read()
    files = {"token": token, "ca": c["ca.pem"], "cert": c["client.pem"], "key": c["client.key"]}
    server = Grpc(credentials=grpc.ssl_server_credentials([(read("server.key"), read("server.pem"))], read("ca.pem"), True))
    for _ in range(2):
        send("otlp-grpc", server.url, path, files, attributes=ALL)
    expect_same(server.requests[:1], path, "otlp-grpc over TLS")
    expect(server.metadata[0]["authorization"] == "Bearer s3cret", "the token did not come")
    with Child(config("otlp-grpc", server.url), {k: v for k, v in files.items() if k in ("token", "ca")}) as child:
        expect(child.send(path).outcome != SENT, "taken without a client certificate")
    server.close()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(c["server.pem"], c["server.key"])
    context.load_verify_locations(c["ca.pem"])
    context.verify_mode = ssl.CERT_REQUIRED
    server = Http(tls=context)
    send("otlp-http", server.url, path, files, attributes=ALL)
    expect_same(server.otlp(), path, "otlp-http over TLS")
    with Child(config("otlp-http", server.url), {"token": token}) as child:
        reply = child.send(path)
        expect(reply.outcome != SENT and "certificate" in reply.error, f"an unknown CA: {reply}")
    expect(len(server.requests) == 1, "a token went to a server that is not known")
    conf = write(directory, "tls.conf", (f"[Upload there]\nUrl={server.url}\nTokenFile={token}\nHeader=X-Key: k\n"
                                         f"CaFile={c['ca.pem']}\nCertFile={c['client.pem']}\nKeyFile={c['client.key']}\n").encode())
    run = subprocess.run([os.path.join(BUILD, "ctl", "emberctl"), "upload", path, "--to", "there", "--config", conf],
                         capture_output=True, text=True)
    expect(run.returncode == 0 and len(server.requests) == 2, f"emberctl upload over TLS: {run.stderr}")
    headers = server.requests[1][1]
    expect(headers["authorization"] == "Bearer s3cret" and headers.get("x-key") == "k", f"emberctl upload over TLS: {headers}")
    server.close()
    print("TLS: own CA, client certificate, token, also by emberctl; an unknown server gets nothing")


def split(directory):
    path = write(directory, "large.pb.gz", window(5000))
    server = Http()
    reply = send("otlp-http", server.url, path, attributes=ALL, samples_max=100, bytes_max=60000)
    expect(reply.requests == len(server.requests) > 10, f"{reply.requests} requests")
    ids = set()
    for request in server.otlp():
        expect(request.ByteSize() <= 60000, f"a request of {request.ByteSize()} bytes")
        for rp in request.resource_profiles:
            for p in rp.scope_profiles[0].profiles:
                expect(len(p.samples) <= 100, f"a profile of {len(p.samples)} samples")
                expect(p.profile_id not in ids, "a profile_id twice")
                ids.add(p.profile_id)
    expect_same(server.otlp(), path, "split")
    server.close()
    # What came through at the first try does not come again.
    server = Http([(200, {}, b"")] * 4 + [(503, {}, b"")])
    with Child(config("otlp-http", server.url, attributes=ALL, samples_max=100, bytes_max=60000)) as child:
        first = child.send(path)
        expect(first.outcome != SENT and first.parts_done == 4, f"{first} after {first.parts_done} parts")
        server.answers = [(200, {}, b"")]
        taken = server.requests[:4]
        server.requests = []
        second = child.send(path, parts_done=first.parts_done)
        expect(second.outcome == SENT, str(second))
        server.requests = taken + server.requests
        expect(len(server.requests) == reply.requests, "parts went missing or came twice")
        expect_same(server.otlp(), path, "split in two tries")
    server.close()
    print(f"split: {reply.requests} requests under both limits, nothing twice after a 503 in the middle")


def options(directory):
    path = write(directory, "w.pb.gz", window(300))
    server = Http()
    send("otlp-http", server.url, path)
    keep = ("host", "container_id", "unit", "exe")
    expect_same(server.otlp(), path, "default labels", lambda label: label in keep)
    request = server.otlp()[0]
    texts = set(request.dictionary.string_table)
    expect(not texts & {"process.pid", "thread.id", "thread.name", "pid", "tid"}, "pid or tid became an attribute unasked")
    services = {a.value.string_value for rp in request.resource_profiles for a in rp.resource.attributes
                if a.key == "service.name"}
    expect("nginx" in services and "redis-server" in services, f"services {services}")
    server.requests.clear()
    send("otlp-http", server.url, path, payload=True, services=["comm nginx web", "label:host"], processes=True)
    request = server.otlp()[0]
    services = {a.value.string_value for rp in request.resource_profiles for a in rp.resource.attributes
                if a.key == "service.name"}
    expect(services == {"web", "box"}, f"services by rule: {services}")
    payloads = [p.original_payload for rp in request.resource_profiles for p in rp.scope_profiles[0].profiles
                if p.original_payload]
    expect(payloads == [gzip.decompress(open(path, "rb").read())], "the original payload")
    expect(all(any(a.key == "process.pid" for a in rp.resource.attributes) for rp in request.resource_profiles),
           "a resource without its process")
    server.close()
    print("options: services by rule, processes, payload; no pid or tid unasked")


def pyroscope(directory):
    path = write(directory, "w.pb.gz", window(3000))
    profile = pprof.Profile(path)
    want = Counter()
    for s in profile.samples:
        want[s.labels["comm"]] += s.values[1]
    for encoding in ("protobuf", "json"):
        server, got = Http(), Counter()
        send("pyroscope", server.url, path, encoding=encoding, tenant="team")
        for url, headers, body in server.requests:
            expect(url == "/push.v1.PusherService/Push" and headers["x-scope-orgid"] == "team", url)
            if encoding == "json":
                import base64
                series = [({x["name"]: x["value"] for x in s["labels"]}, base64.b64decode(s["samples"][0]["rawProfile"]), "")
                          for s in json.loads(body)["series"]]
            else:
                series = push_series(body)
            for labels, data, _ in series:
                part = pprof.Profile(write(directory, "part.pb.gz", data))
                expect(labels["__name__"] == "process_cpu", str(labels))
                expect(all(not s.labels for s in part.samples), "labels that nobody asked for")
                got[labels["service_name"]] += part.total(1)
        expect(got == want, f"push {encoding}: {got} is not {want}")
        server.close()
    server, got = Http(), Counter()
    send("pyroscope-ingest", server.url, path)
    for url, headers, body in server.requests:
        query, labels, parts = ingest(url, headers, body)
        expect("format" not in query and query["spyName"] == "emberd" and query["sampleRate"] == "100", str(query))
        expect(int(query["until"]) - int(query["from"]) == 60, str(query))
        expect("cpu" in json.loads(parts["sample_type_config"]), "sample_type_config")
        got[labels["service_name"]] += pprof.Profile(write(directory, "part.pb.gz", parts["profile"])).total(1)
    expect(got == want, f"ingest: {got} is not {want}")
    server.close()
    print("pyroscope: push (protobuf, JSON) and ingest carry the totals of each service, the tenant, no pid or tid")


def section(directory, program, path, server):
    """All that a section says counts, drop-ins included; an option comes before it; what emberd would not take is told."""
    token, other = (write(directory, name, name.encode()) for name in ("one.token", "other.token"))
    keys = {"Url": server.url, "Header": "X-Key: first, and more", "Attributes": "comm thread cgroup", "Compression": "zstd",
            "RequestBytes": "16K", "TokenFile": token}
    conf = write(directory, "section.conf", "".join([
        "[Upload other]\nUrl=http://127.0.0.1:9\nHeader=X-Key: of another\n[Upload there]\n",
        *(f"{key}={value}\n" for key, value in keys.items())]).encode())
    os.mkdir(conf + ".d")
    write(conf + ".d", "more.conf", b"[Upload there]\nHeader=X-Second: drop-in\n")

    def upload(*more):
        server.answers, server.requests[:] = [(200, {}, b"")], []
        return subprocess.run([program, "upload", path, "--to", "there", "--config", conf, *more], capture_output=True, text=True)

    run = upload()
    expect(run.returncode == 0 and len(server.requests) >= 3, f"{run.stderr} in {len(server.requests)} requests")
    for _, headers, _ in server.requests:
        expect(headers.get("x-key") == "first, and more" and headers.get("x-second") == "drop-in", f"headers: {headers}")
        expect(headers["content-encoding"] == "zstd" and headers["authorization"] == "Bearer one.token", f"headers: {headers}")
    expect_same(server.otlp(), path, "emberctl upload by name", keep=lambda label: label not in ("pid", "tid"))
    run = upload("--token-file", other, "--compression", "gzip")
    _, headers, _ = server.requests[0]
    expect(headers["authorization"] == "Bearer other.token" and headers["content-encoding"] == "gzip" and
           headers["x-key"] == "first, and more", f"with options: {headers}")
    write(directory, "section.conf", f"[Upload there]\nUrl={server.url}\nHeader=no colon\n".encode())
    run = upload()
    expect(run.returncode == 1 and "Header=no colon" in run.stderr and not server.requests, f"a bad value: {run.stderr}")
    write(directory, "section.conf", f"[Upload there]\nUrl={directory}\nProtocol=pprof-dir\n".encode())
    run = upload()
    expect(run.returncode == 1 and "convert" in run.stderr, f"a directory: {run.stderr}")
    print("emberctl upload: by name with headers, token, attributes, splitting and drop-ins of the section, options before them")


def emberctl(directory):
    path = write(directory, "w.pb.gz", window(300))
    program = os.path.join(BUILD, "ctl", "emberctl")
    other = os.path.join(directory, "w.otlp")
    subprocess.run([program, "convert", "-o", other, path], check=True)
    server = Http()
    attributes = [x for label in ALL for x in ("--attribute", label)]
    for file in (path, other):
        server.requests.clear()
        run = subprocess.run([program, "upload", file, "--to", server.url, *attributes], capture_output=True, text=True)
        expect(run.returncode == 0 and "300 samples" in run.stderr, run.stderr)
        expect_same(server.otlp(), path, f"emberctl upload {os.path.basename(file)}")
    conf = write(directory, "emberd.conf", f"[Upload here]\nUrl={server.url}\nProtocol=pyroscope\nTenantId=t\n".encode())
    server.requests.clear()
    server.answers = [(503, {}, b"")] + [(200, {}, b"")] * 50
    run = subprocess.run([program, "upload", path, "--to", "here", "--config", conf], capture_output=True, text=True)
    expect(run.returncode == 0 and server.requests[0][1]["x-scope-orgid"] == "t", run.stderr)
    section(directory, program, path, server)
    for arguments, status in ((["--to", "nowhere", "--config", conf], 1), ([], 2)):
        run = subprocess.run([program, "upload", path, *arguments], capture_output=True, text=True)
        expect(run.returncode == status and run.stderr, f"{arguments}: {run.returncode} {run.stderr}")
    server.close()
    print("emberctl upload: pprof and OTLP files, by address and by name, a 503 tried again")


def pprof_dir(directory):
    path = write(directory, "w.pb.gz", window(300))
    output = os.open(os.path.join(directory, "out.pb.gz"), os.O_WRONLY | os.O_CREAT, 0o600)
    with Child(config("pprof-dir", "/nowhere")) as child:
        expect(child.send(path, output).outcome == SENT, "pprof-dir")
    os.close(output)
    expect_dump = lambda p: otlp_rules.contents_of_pprof(pprof.Profile(p))
    expect(expect_dump(path) == expect_dump(os.path.join(directory, "out.pb.gz")), "pprof-dir: another profile")
    print("pprof-dir: the same profile under gzip")


def main():
    start = time.time()
    with tempfile.TemporaryDirectory() as directory:
        for check in (otlp_http, otlp_grpc, tls, split, options, pyroscope, pprof_dir, emberctl):
            check(directory)
    print(f"export protocols: all held, {time.time() - start:.1f} s")


main()
