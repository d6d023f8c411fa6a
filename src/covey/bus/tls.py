"""TLS to the bus of a head: one authority counts, its own, whose certificate came through ssh."""

import ssl

#: What certificates of our authority are made out to, wherever the server is.
SERVER_NAME = "covey-bus"

#: OpenSSL's X509_V_FLAG_NO_CHECK_TIME. The authority is pinned, and a Raspberry Pi without a clock
#: believes that it is 1970.
_ANY_TIME = 0x200000


def pinned(ca: str) -> ssl.SSLContext:
    """Trusts certificates of the authority in `ca` (PEM) that are made out to SERVER_NAME.

    Raises:
        ssl.SSLError: this is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if ssl.HAS_TLSv1_3 else ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=ca)
    context.verify_flags |= ssl.VerifyFlags(_ANY_TIME)
    return context
