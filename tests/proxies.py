"""A proxy that records what it is asked, and certificates for servers behind it."""

import asyncio
import datetime
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class RecordingProxy:
    """An HTTP proxy: `asked` is what it was asked for, `seen` the bytes that went through it.

    With `user` it wants that user and password; with `refusal` it lets nobody through; `tells` are
    header lines of its answers.
    """

    url: str = ""
    user: str | None = None
    refusal: int | None = None
    tells: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)
    seen: bytes = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request and, if it may pass, let everything through after it."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.partition("\r\n")[0].split(" ")
        self.asked.append(f"{method} {target}")
        if status := self._refused(head):
            writer.write(f"HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\n\r\n".encode())
            return
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            there, on = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.write("\r\n".join(["HTTP/1.1 200 OK", *self.tells, "", ""]).encode())
        else:
            url = urlsplit(target)
            there, on = await asyncio.open_connection(url.hostname, url.port or 80)
            kept = [
                line for line in head.split("\r\n")[1:] if not line.lower().startswith("proxy-")
            ]
            path = target.partition(url.netloc)[2]
            on.write("\r\n".join([f"{method} {path} HTTP/1.1", *kept]).encode("latin-1"))
        try:
            await asyncio.gather(self._pass(reader, on), self._pass(there, writer))
        finally:
            on.close()

    def _refused(self, head: str) -> int | None:
        if self.user is not None:
            wanted = f"Basic {b64encode(self.user.encode()).decode()}"
            given = [line.partition(": ") for line in head.split("\r\n")]
            if ("proxy-authorization", wanted) not in [
                (each[0].lower(), each[2]) for each in given
            ]:
                return 407
        return self.refusal

    async def _pass(self, here: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await here.read(65_536):
                self.seen += piece
                there.write(piece)
                await there.drain()
        there.close()


Answers = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(answers: Answers, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Answer connections on a free port of this machine, which is yielded; end all at the end."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            serving.add(task)
        with suppress(OSError, EOFError, asyncio.CancelledError):
            await answers(reader, writer)
        writer.close()
        with suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


@asynccontextmanager
async def recording_proxy(
    tls: ssl.SSLContext | None = None, user: str | None = None
) -> AsyncIterator[RecordingProxy]:
    """Run a proxy; with `tls` it is itself an https:// one."""
    proxy = RecordingProxy(user=user)
    async with listening(proxy.serve, tls) as port:
        credentials = f"{user}@" if user else ""
        proxy.url = f"{'https' if tls else 'http'}://{credentials}127.0.0.1:{port}"
        yield proxy


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate for 127.0.0.1; return its file, to be trusted, and a server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    trusted, private = folder / "certificate.pem", folder / "key.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return trusted, context
