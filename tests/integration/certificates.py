"""Certificates for servers and clients, by openssl: NAME.pem and NAME.key in a directory."""
import os
import subprocess


def _openssl(directory, *arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory)


def authority(directory, name="ca"):
    _openssl(directory, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", name + ".key", "-out", name + ".pem", "-days", "2",
             "-subj", "/CN=" + name)


def signed(directory, name, extension="subjectAltName=IP:127.0.0.1", days=2):
    """By the authority "ca". days: negative for one that has ended."""
    with open(os.path.join(directory, name + ".ext"), "w") as f:
        f.write(extension)
    _openssl(directory, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name)
    _openssl(directory, "x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", str(days),
             "-out", name + ".pem", "-extfile", name + ".ext")
