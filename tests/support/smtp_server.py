"""The mail server that smtp.py runs, under Debian's own Python (python3-aiosmtpd): keeps mail in a Maildir, and is difficult with some recipients.

    python3 smtp_server.py PORT MAILDIR MODE [CERTIFICATE KEY [USER PASSWORD]]      MODE is starttls, tls or clear

refuse@ is unknown for good, later@ is refused for now, drop@ takes the whole mail and breaks the connection before it answers.
"""

import asyncio
import mailbox
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Handler:
    def __init__(self, folder):
        self.maildir = mailbox.Maildir(folder, create=True)
        self.broken = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.partition("@")[0]
        if name == "refuse":
            return f"550 5.1.1 <{address}>: nobody of this name"
        if name == "later":
            return f"451 4.7.1 <{address}>: try again in 5 minutes, request 123456789"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = mailbox.MaildirMessage(envelope.content)
        mail["X-Envelope-From"] = envelope.mail_from
        mail["X-Envelope-To"] = ", ".join(envelope.rcpt_tos)
        mail["X-Greeted-As"] = session.host_name
        mail["X-Over-TLS"] = "yes" if server.transport.get_extra_info("ssl_object") is not None else "no"
        self.maildir.add(mail)
        if any(address.startswith("drop@") for address in envelope.rcpt_tos):
            server.transport.abort()
        return "250 taken as 42"


async def main(port, folder, mode, certificate="", key="", user="", password=""):
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    handler = Handler(folder)

    def authenticate(server, session, envelope, mechanism, data):
        right = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == (user, password)
        return AuthResult(success=right, handled=False)

    def session():
        options = {"hostname": "mail.example"}
        if mode == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        if user:
            options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": mode == "starttls"}
        return SMTP(handler, **options)

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", int(port), ssl=context if mode == "tls" else None)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
