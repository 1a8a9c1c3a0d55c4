"""A server that says byte for byte what it is told to say, and remembers what it was asked."""

import socket
import threading

from neurofetch.net.http1 import Request


class RawServer:
    """Response each request with the next of some scripts, whatever was asked. A context manager.

    Parameters
    ----------
    *scripts
        Bytes to send, or a callable that gets the connection and the request's head. A script of
        bytes ``b""`` closes the connection without a word. The last script stays.
    close
        Close each connection after an answer.
    tls
        A server-side context.
    """

    def __init__(self, *scripts, close=False, tls=None):
        self._scripts = list(scripts)
        self._close = close
        self._tls = tls
        self.heads = []
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._open = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]
        self.ending = threading.Event()

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        with self._lock:
            waiting = list(self._open)
        for connection in waiting:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(5)
        self._socket.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with self._lock:
                self._open.add(connection)
            while self._response(connection):
                pass
        except OSError:
            return  # the client left
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _response(self, connection):
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(65536)
            if not more:
                return False
            head += more
        self.heads.append(head.decode("latin-1"))
        with self._lock:
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        if callable(script):
            script(connection, head)
        elif script:
            connection.sendall(script)
        return bool(script) and not self._close


def ask(client, server, path="/f", **how):
    with client.send(Request(server.url + path, **how)) as response:
        return response.status, response.read(1 << 20)


def silence(connection, _):
    while connection.recv(1):
        continue
