"""Hostile URLs, made by rule: every inner address in every spelling that some parser takes for it, and every way of
hiding one host behind another. The kinds are those that lists of server-side request forgery tricks agree on.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

# Who answers there: this process's runtime, the metadata services of clouds, neighbours.
INNER = (
    "127.0.0.1",
    "127.0.0.2",
    "127.127.127.127",
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "169.254.170.2",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
)
INNER_IPV6 = (
    "::",
    "::1",
    "::2",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "ff02::1",
    "ff05::2",
    "100::1",
    "2001:db8::1",
    "2001:10::1",
    "2001:20::1",
    "2001::1",
    "5f00::1",
    "64:ff9b:1::1",
    "3fff::1",
    "4000::1",
    "::ffff:0:127.0.0.1",
)


def spellings(address: str) -> Iterator[str]:
    """An IPv4 address as the parsers of C libraries, shells and browsers have taken it."""
    value, parts = int(ipaddress.IPv4Address(address)), [int(part) for part in address.split(".")]
    a, b, c, d = parts
    yield str(value)
    yield f"0x{value:x}"
    yield f"0X{value:08X}"
    yield f"0{value:o}"
    yield f"0000000000{value:o}"
    yield f"{value + (1 << 32)}"  # overflows
    yield ".".join(f"0{part:o}" for part in parts)
    yield ".".join(f"000{part:o}" for part in parts)
    yield ".".join(f"0x{part:x}" for part in parts)
    yield ".".join(f"0x0000{part:x}" for part in parts)
    yield ".".join(f"{part:03d}" for part in parts)
    yield f"{a}.{b << 16 | c << 8 | d}"
    yield f"{a}.{b}.{c << 8 | d}"
    yield f"0{a:o}.{b}.0x{c:x}.{d}"
    yield f"{a + 256}.{b}.{c}.{d}"
    yield f"{address}."
    yield f"{address}.."
    yield f"{address} "
    yield f"{address}%00"
    yield address.replace(".", "%2e")
    yield "".join(f"%{ord(letter):02x}" for letter in address)
    yield address.replace(".", "\u3002")  # ideographic full stop
    yield address.replace(".", "\uff0e")  # full-width full stop
    yield "".join(chr(0xFEE0 + ord(letter)) for letter in address)  # full-width
    yield "".join(chr(0x245F + int(letter)) if letter in "123456789" else letter for letter in address)  # circled
    yield "".join(chr(0x2080 + int(letter)) if letter.isdigit() else letter for letter in address)  # subscript
    yield f"[{address}]"
    yield f"[::ffff:{address}]"
    yield f"[::FFFF:{value >> 16:x}:{value & 0xFFFF:x}]"
    yield f"[0:0:0:0:0:ffff:{address}]"
    yield f"[::{address}]"
    yield f"[::ffff:0:{address}]"
    yield f"[64:ff9b::{address}]"
    yield f"[64:ff9b::{value >> 16:x}:{value & 0xFFFF:x}]"
    yield f"[64:ff9b:1::{address}]"
    yield f"[2002:{value >> 16:x}:{value & 0xFFFF:x}::1]"
    yield f"[2001:0:{value >> 16:x}:{value & 0xFFFF:x}:0:0:0:0]"
    yield f"[fe80::5efe:{address}]"  # ISATAP
    yield f"[::ffff:{address}%25lo]"
    yield f"[::ffff:{address}"
    yield f"::ffff:{address}"


# {good} is a server that may be asked, {bad} one that may not.
DISGUISES = (
    "https://{good}@{bad}/",
    "https://{bad}@{good}/",
    "https://{good}:443@{bad}/",
    "https://{good}:x@{bad}:443/",
    "https://{good}%40{bad}/",
    "https://@{bad}/",
    "https://:@{bad}/",
    "https://{good}#@{bad}:9001/",
    "https://{bad}#@{good}/",
    "https://{bad}?@{good}/",
    "https://{bad};@{good}/",
    "https://{bad}\\@{good}/",
    "https://{good}\\@{bad}/",
    "https://{good}\\.{bad}/",
    "https:\\\\{bad}/",
    "https:/\\{bad}/",
    "https:/{bad}/",
    "https:{bad}/",
    "https:///{bad}/",
    "https:////{bad}/",
    "//{bad}/",
    "/{bad}/",
    "{bad}",
    "{bad}:443/",
    " https://{bad}/",
    "https://{bad} /",
    "https:// {bad}/",
    "\thttps://{bad}/",
    "ht\ntps://{bad}/",
    "https://{good}\t@{bad}/",
    "https://{good} &@{bad}# @{bad}/",
    "https://{good},{bad}/",
    "https://{good};{bad}/",
    "https://{good}|{bad}/",
    "https://{good}\r\nHost: {bad}\r\n\r\n",
    "https://{good}/%0d%0aHost:{bad}:9001@{bad}",
    "https://{good}/\r\nX-Forwarded-For: {bad}",
    "https://{good}/ HTTP/1.1\r\nHost: {bad}\r\n\r\nGET /",
    "https://{good}\0.{bad}/",
    "https://{good}%00.{bad}/",
    "https://{good}\u2044@{bad}/",
    "https://{good}\uff0f@{bad}/",
    "https://{good}\u2100.{bad}/",
    "https://{good}\uff03@{bad}/",
    "https://{good}\u00ad.{bad}/",
    "https://\u202e{bad}/",
    "https://{bad}:443443/",
    "https://{bad}:+443/",
    "https://{bad}:0443/",
    "https://{bad}:443:443/",
    "https://{bad}:-1/",
    "https://{bad}:65979/",
    "https://{bad}:\u0664\u0664\u0663/",
    "https://{bad}:9001/2018-06-01/runtime/invocation/next",
    "https://{good}:22/",
    "https://{good}:9001/",
    "https://{good}:80/",
    "http://{good}/",
    "http://{good}:443/",
    "http://{bad}/latest/meta-data/iam/security-credentials/",
    "HTTP://{bad}/",
    "hTTp://{bad}/",
    "httpss://{bad}/",
    "https+unix://%2fvar%2frun%2fdocker.sock/",
    "https+http://{bad}/",
    "ftp://{bad}/a.png",
    "ftps://{bad}/a.png",
    "sftp://{bad}/a.png",
    "tftp://{bad}:69/a",
    "gopher://{bad}:6379/_INFO%0d%0a",
    "dict://{bad}:11211/stats",
    "ldap://{bad}/",
    "ldaps://{bad}/",
    "smb://{bad}/share",
    "telnet://{bad}/",
    "ssh://{bad}/",
    "imap://{bad}/",
    "rtsp://{bad}/",
    "ws://{bad}/",
    "wss://{bad}/",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "file://localhost/etc/passwd",
    "file://{bad}/share/a.png",
    "FILE:///proc/self/environ",
    "local_file:///proc/self/environ",
    "netdoc:///etc/passwd",
    "jar:https://{bad}!/a.png",
    "url:file:///etc/passwd",
    "php://filter/resource=/etc/passwd",
    "phar://a.phar",
    "data://text/plain;base64,QQ==",
    "expect://id",
    "zip://a.zip#a.png",
    "glob:///etc/*",
    "view-source:https://{bad}/",
    "about:blank",
    "javascript:fetch('https://{bad}')",
    "blob:https://{bad}/1",
    "cid:a@{bad}",
    "pipe:0",
    "concat:/etc/passwd|/etc/hosts",
    "unix:///var/run/docker.sock",
    "https://[::1]@{good}/",
    "https://{good}@[::1]/",
    "https://[::1].{good}/",
    "https://[::1]{good}/",
    "https://{good}[::1]/",
    "https://[]/",
    "https://[v1.{bad}]/",
    "https://[::1%25lo]/",
    "https://[::1%lo]/",
    "https://[fe80::1%2525eth0]/",
    "https://[::1]:9001/",
    "https://[::1]:443:443/",
    "https://[[::1]]/",
    "https://[::1/",
    "https://::1/",
    "https://::1]/",
    "https://0/",
    "https://0x/",
    "https://0x7f/",
    "https://1/",
    "https://127/",
    "https://-1/",
    "https://1.1/",
    "https://1e3/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://localhost.localdomain/",
    "https://anything.localhost/",
    "https://ip6-localhost/",
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://metadata/",
    "https://instance-data/latest/meta-data/",
    "https://kubernetes.default.svc/",
    "https://host.docker.internal/",
    "https://sandbox.localdomain/",
    "https://{bad}.nip.io/",
    "https://a.{bad}.sslip.io/",
    "https://xn--.{good}/",
    "https://*.{good}/",
    "https://${{{{7*7}}}}.{good}/",
    "https://{good}'/",
    'https://{good}"/',
    "https://<{good}>/",
    "https://{good}`id`/",
    "https://$(id).{good}/",
    "https://.../",
    "https://./",
    "https://../",
    "https://a..b/",
    "https://?/",
    "https://#/",
    "https://",
    "https:",
    "https",
    ":",
    "",
    "\0",
    "\u200bhttps://{bad}/",
    "\ufeffhttps://{bad}/",
    "https\u200b://{bad}/",
    "%68ttps://{bad}/",
)

GOOD, BAD = "pictures.example", "127.0.0.1"


def hostile() -> list[str]:
    """All of them, each once."""
    urls = [f"https://{spelled}/" for address in INNER for spelled in (address, *spellings(address))]
    urls += [f"https://[{address}]/" for address in INNER_IPV6]
    urls += [f"https://[{ipaddress.IPv6Address(address).exploded}]:443/" for address in INNER_IPV6]
    urls += [each.format(good=GOOD, bad=BAD) for each in DISGUISES]
    urls += [f"https://{'a' * size}.example/" for size in (64, 254, 4000)]
    urls += ["https://" + "a." * 200 + "example/", f"https://{GOOD}/" + "a" * 4097, "https://" + "@" * 4000]
    return list(dict.fromkeys(urls))
