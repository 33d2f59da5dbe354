"""Receivers that are not ours: OTLP over HTTP and gRPC with PyPI's classes, Pyroscope's two doors, and faults on order."""
import concurrent.futures
import gzip
import http.server
import subprocess
import threading
import urllib.parse

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2 as service
from opentelemetry.proto.collector.profiles.v1development import profiles_service_pb2_grpc as service_grpc


def unpack(headers, body):
    encoding = headers.get("content-encoding", "")
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "zstd":
        return subprocess.run(["zstd", "-dcq"], input=body, stdout=subprocess.PIPE, check=True).stdout
    return body


def otlp(body):
    request = service.ExportProfilesServiceRequest()
    request.ParseFromString(body)
    return request


def partial(rejected, message):
    r = service.ExportProfilesServiceResponse()
    r.partial_success.rejected_profiles = rejected
    r.partial_success.error_message = message
    return r


class Http:
    """answers: list of (status, headers, body), one for each request, the last for ever. Also a callable(handler)."""

    def __init__(self, answers=None, tls=None):
        self.answers, self.requests = answers or [(200, {}, b"")], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {k.lower(): v for k, v in self.headers.items()}
                outer.requests.append((self.path, headers, body))
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                if callable(answer):
                    answer(self)
                    return
                status, more, data = answer
                self.send_response(status)
                for k, v in more.items():
                    self.send_header(k, v)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        scheme = "http"
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def otlp(self):
        return [otlp(unpack(h, b)) for _, h, b in self.requests]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Grpc(service_grpc.ProfilesServiceServicer):
    """answers: list of None (success), a response, or (code, message, retry seconds or None); the last for ever."""

    def __init__(self, answers=None, credentials=None, compression=None):
        self.answers, self.requests, self.metadata = answers or [None], [], []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), compression=compression)
        service_grpc.add_ProfilesServiceServicer_to_server(self, self.server)
        if credentials:
            port = self.server.add_secure_port("127.0.0.1:0", credentials)
        else:
            port = self.server.add_insecure_port("127.0.0.1:0")
        self.url = f"{'https' if credentials else 'http'}://127.0.0.1:{port}"
        self.server.start()

    def Export(self, request, context):
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, tuple):
            code, message, seconds = answer
            if seconds is None:
                context.abort(code, message)
            info = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds))
            detail = any_pb2.Any()
            detail.Pack(info)
            context.abort_with_status(rpc_status.to_status(
                status_pb2.Status(code=code.value[0], message=message, details=[detail])))
        return answer or service.ExportProfilesServiceResponse()

    def close(self):
        self.server.stop(None)


def fields(data):
    """Fields of a protobuf message without its definition."""
    at = 0

    def varint():
        nonlocal at
        v = shift = 0
        while True:
            b = data[at]
            at += 1
            v |= (b & 127) << shift
            if b < 128:
                return v
            shift += 7

    while at < len(data):
        key = varint()
        if key & 7 == 2:
            n = varint()
            yield key >> 3, data[at : at + n]
            at += n
        else:
            yield key >> 3, varint()


def push_series(body):
    """PushRequest as [({label: value}, pprof bytes, id)]."""
    out = []
    for _, series in fields(body):
        labels, samples = {}, []
        for number, value in fields(series):
            if number == 1:
                pair = dict(fields(value))
                labels[pair[1].decode()] = pair[2].decode()
            else:
                samples.append(dict(fields(value)))
        out += [(labels, sample[1], sample[2].decode()) for sample in samples]
    return out


def ingest(path, headers, body):
    """({query}, {label: value}, {part name: bytes})."""
    query = {k: v[0] for k, v in urllib.parse.parse_qs(urllib.parse.urlparse(path).query).items()}
    boundary = headers["content-type"].split("boundary=")[1].encode()
    parts = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, data = part[2:].partition(b"\r\n\r\n")
        parts[head.split(b'name="')[1].split(b'"')[0].decode()] = data[:-2]
    name, _, rest = query["name"].partition("{")
    labels = dict(x.split("=", 1) for x in rest[:-1].split(",") if x)
    labels["service_name"] = name
    return query, labels, parts
