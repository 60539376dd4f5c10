"""Sound and video that refer to other files or to networks, or cost more than they are worth.

A canary lies beside each file, and a server on the loopback waits for whoever is led there. What ffmpeg makes of the
file is looked at too: nothing of the canary may be in it.
"""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, UnreadableMedia
from layers.media.ffmpeg import run, untrusted_input
from layers.media.mp4 import MAX_INDEX_BYTES, read_index
from layers.media.xmp_label import read_mp4_label

CANARY = "canary-5f3e9a"
X264 = ["-an", "-c:v", "libx264", "-preset", "ultrafast", "-f", "mp4"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short video that is what it seems."""
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    source = "testsrc2=size=64x64:rate=10:duration=1"
    run(["-f", "lavfi", "-i", source, *X264, str(path)], deadline=Deadline.after(60))
    return path


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """Listens, and must never be asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        yield listener


# {url} is the trap, {canary} a file beside the hostile one, {name} its name alone.
TEXTS = {
    "concat": "ffconcat version 1.0\nfile {name}\n",
    "concat-unsafe": "ffconcat version 1.0\nfile '{canary}'\n",
    "concat-url": "ffconcat version 1.0\nfile {url}\n",
    "concat-option": "ffconcat version 1.0\nfile {name}\noption protocol_whitelist file,http,tcp\n",
    "hls-file": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{canary}\n#EXT-X-ENDLIST\n",
    "hls-relative": "#EXTM3U\n#EXTINF:5,\n{name}\n#EXT-X-ENDLIST\n",
    "hls-url": "#EXTM3U\n#EXTINF:5,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
    "hls-key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{url}/key"\n#EXTINF:5,\n{name}\n#EXT-X-ENDLIST\n',
    "hls-map": '#EXTM3U\n#EXT-X-MAP:URI="file://{canary}"\n#EXTINF:5,\n{name}\n#EXT-X-ENDLIST\n',
    "hls-concat": "#EXTM3U\n#EXTINF:5,\nconcat:{url}/a|file://{canary}\n#EXT-X-ENDLIST\n",
    "hls-subfile": "#EXTM3U\n#EXTINF:5,\nsubfile,,start,0,end,64,,:{canary}\n#EXT-X-ENDLIST\n",
    "hls-master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{url}/a.m3u8\n",
    "hls-media": '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="{url}/a"\n',
    "hls-data": "#EXTM3U\n#EXTINF:5,\ndata:text/plain;base64,QQ==\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><Representation>'
    "<BaseURL>{url}/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "dash-entity": '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file://{canary}">]><MPD>&x;</MPD>',
    "smooth": '<SmoothStreamingMedia MajorVersion="2"><StreamIndex Url="{url}/a"/></SmoothStreamingMedia>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    "ram": "{url}/a.rm\n",
    "asx": '<asx version="3"><entry><ref href="{url}/a"/></entry></asx>',
    "pls": "[playlist]\nFile1={url}/a\nNumberOfEntries=1\n",
    "xspf": "<playlist><trackList><track><location>file://{canary}</location></track></trackList></playlist>",
    "smil": '<smil><body><video src="{url}/a.mp4"/></body></smil>',
    "quicktime-link": '<?quicktime type="application/x-quicktime-media-link"?><embed src="{url}/a"/>',
    "svg": '<svg xmlns:x="http://www.w3.org/1999/xlink"><image x:href="{url}/a.png"/></svg>',
    "ass": "[Script Info]\n[Events]\nDialogue: 0,0:00:00.00,0:00:05.00,Default,,0,0,0,,{canary}\n",
    "srt": "1\n00:00:00,000 --> 00:00:05,000\n{canary}\n",
    "vtt": "WEBVTT\n\n00:00.000 --> 00:05.000\n{canary}\n",
    "mpsub": "FORMAT=25\n",
    "vobsub-index": "# VobSub index file, v7\nid: en, index: 0\n",
    "lrc": "[00:00.00]{canary}\n",
    "ffmetadata": ";FFMETADATA1\ntitle={canary}\n",
    "filtergraph": "movie={canary}\n",
    "avisynth": 'ImageReader("{canary}", 0, 1, 25)\n',
    "vapoursynth": "import os; os.system('touch pwned')\n",
    "tty": "\x1b[31m{canary}\n" * 50,
    "magick": "push graphic-context\nimage over 0,0 0,0 '{url}/a.png'\npop graphic-context\n",
    "pattern": "%d{canary}",
    "html": "<meta http-equiv=refresh content='0;url={url}'>",
    "xbin": "XBIN\x1a{canary}",
}


def box(kind: bytes, *inner: bytes) -> bytes:
    body = b"".join(inner)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, *inner: bytes, flags: int = 0, version: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *inner)


def referring(data: bytes, reference: bytes) -> bytes:
    """The video with that data reference instead of "in this very file"; chunk offsets move along."""
    at = data.index(b"dref") - 4
    (length,) = struct.unpack_from(">I", data, at)
    changed = full(b"dref", struct.pack(">I", 1), reference)
    grown = len(changed) - length
    out = bytearray(data[:at] + changed + data[at + length :])
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        where = out.index(parent) - 4
        struct.pack_into(">I", out, where, struct.unpack_from(">I", out, where)[0] + grown)
    return bytes(out)


def alias(path: str) -> bytes:
    """A Macintosh alias record to a file in the same folder, as QuickTime's data references have them."""
    name = path.rpartition("/")[2].encode()
    target = b"v" + path.replace("/", ":").encode()  # the volume is called v
    target += b"\0" * (len(target) & 1)
    fixed = bytes(10) + b"\x01v" + bytes(26) + bytes(12) + bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16)
    levels = struct.pack(">HH", 1, 1)  # up from the alias, down to the target
    tagged = struct.pack(">HH", 2, len(target)) + target + struct.pack(">HH", 0xFFFF, 0)
    return full(b"alis", fixed + levels + bytes(16) + tagged)


REFERENCES: dict[str, Callable[[str, str], bytes]] = {
    "url-of-a-server": lambda canary, url: full(b"url ", url.encode() + b"\0"),
    "url-of-a-file": lambda canary, url: full(b"url ", b"file://" + canary.encode() + b"\0"),
    "urn": lambda canary, url: full(b"urn ", b"a\0" + url.encode() + b"\0"),
    "alias": lambda canary, url: alias(canary),
    "resource": lambda canary, url: full(b"rsrc", canary.encode()),
    "concat": lambda canary, url: full(b"url ", b"concat:" + canary.encode() + b"\0"),
}


def led(data: bytes | str, folder: Path, trap: socket.socket, plain: Path) -> bytes:
    """What ffmpeg makes of the file as a stranger's, or nothing; the trap must stay untouched."""
    hostile, out = folder / "hostile.mp4", folder / "out.mp4"
    hostile.write_bytes(data if isinstance(data, bytes) else data.encode())
    with suppress(ColdswapError):
        run([*untrusted_input(hostile), "-frames:v", "30", *X264, str(out)], deadline=Deadline.after(20))
    with pytest.raises(BlockingIOError):
        trap.accept()
    assert not (folder / "pwned").exists()
    return out.read_bytes() if out.exists() else b""


@pytest.fixture
def canary(tmp_path: Path, plain: Path) -> Path:
    """A video that must not be read: no other file has its title."""
    path = tmp_path / "canary.mp4"
    copy = ["-i", str(plain), "-c", "copy", "-metadata", f"title={CANARY}", str(path)]
    run(copy, deadline=Deadline.after(60))
    return path


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_calls_itself_a_video_leads_nowhere(
    name: str, tmp_path: Path, trap: socket.socket, plain: Path, canary: Path
) -> None:
    url = f"http://127.0.0.1:{trap.getsockname()[1]}"

    output = led(TEXTS[name].format(url=url, canary=canary, name=canary.name), tmp_path, trap, plain)

    assert output == b"", "nothing of it can be shown"


@pytest.mark.parametrize("name", REFERENCES)
def test_a_video_whose_samples_are_said_to_lie_elsewhere_leads_nowhere(
    name: str, tmp_path: Path, trap: socket.socket, plain: Path, canary: Path
) -> None:
    url = f"http://127.0.0.1:{trap.getsockname()[1]}/a.mp4"

    output = led(emptied(plain, REFERENCES[name](str(canary), url)), tmp_path, trap, plain)

    assert len(output) < 1000, "no frame"


def emptied(plain: Path, reference: bytes) -> bytes:
    """A video whose own samples are rubbish: only the file that it refers to could give a picture."""
    data = bytearray(referring(plain.read_bytes(), reference))
    start = data.index(b"mdat") + 4
    data[start : start + 200] = bytes(200)
    return bytes(data)


def test_the_alias_would_lead_to_the_canary_if_it_were_followed(tmp_path: Path, plain: Path) -> None:
    """So that the test above is one that can fail."""
    (tmp_path / "canary.mp4").write_bytes(plain.read_bytes())
    (tmp_path / "hostile.mp4").write_bytes(emptied(plain, alias(str(tmp_path / "canary.mp4"))))
    out = tmp_path / "out.mp4"

    run(["-enable_drefs", "1", "-i", str(tmp_path / "hostile.mp4"), *X264, str(out)], deadline=Deadline.after(20))

    assert out.stat().st_size > 5000


def ebml(kind: str, *inner: bytes) -> bytes:
    body = b"".join(inner)
    return bytes.fromhex(kind) + struct.pack(">Q", len(body) | 1 << 56) + body


EBML = ebml("1a45dfa3", ebml("4282", b"matroska"))
MATROSKA = {
    "linked-segment": EBML
    + ebml("18538067", ebml("1549a966", ebml("3eb923", bytes(16)), ebml("3e83bb", b"canary.mp4"))),
    "ordered-chapters": EBML
    + ebml("18538067", ebml("1043a770", ebml("45b9", ebml("45dd", b"\x01"), ebml("b6", ebml("6e67", bytes(16)))))),
    "attachment": EBML
    + ebml("18538067", ebml("1941a469", ebml("61a7", ebml("466e", b"../../pwned"), ebml("465c", b"x")))),
    "endless-cluster": EBML + bytes.fromhex("18538067ffffffffffffffff1f43b675ffffffffffffffff") + bytes(1 << 20),
    "deep": EBML + ebml("18538067") + bytes.fromhex("18538067ffffffffffffffff") * 9999,
    "void": EBML + ebml("18538067", ebml("ec", bytes(1 << 20)) * 4),
}
OTHERS = {
    "avi": b"RIFF\xff\xff\xff\x7fAVI LIST" + bytes(999),
    "flv": b"FLV\x01\x05\0\0\0\x09" + bytes(999),
    "asf": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(999),
    "mpegts": b"\x47\x40\x00\x10" * 999,
    "mpegps": b"\0\0\1\xba" + bytes(999),
    "gif": b"GIF89a\xff\xff\xff\xff\0\0\0",
    "swf": b"FWS\x09" + bytes(999),
    "nut": b"nut/multimedia container\0" + bytes(999),
    "mxf": bytes.fromhex("060e2b34020501010d010201") + bytes(999),
    "ogg": b"OggS\0\x02" + bytes(999),
    "midi": b"MThd" + bytes(999),
    "tar": b"canary.mp4" + bytes(502),
    "gzip-bomb": b"\x1f\x8b\x08" + bytes(999),
    "empty": b"",
    "ftyp-alone": box(b"ftyp", b"isom\0\0\2\0isom"),
    "wave-endless": b"RIFF\xff\xff\xff\xffWAVEfmt "
    + struct.pack("<IHHIIHH", 16, 1, 1, 44_100, 88_200, 2, 16)
    + b"data",
    "flac-picture": b"fLaC\x86\xff\xff\xff" + bytes(999),
    "mp3-tag": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(9999),
}


@pytest.mark.parametrize("name", [*MATROSKA, *OTHERS])
def test_another_container_leads_nowhere(
    name: str, tmp_path: Path, trap: socket.socket, plain: Path, canary: Path
) -> None:
    assert CANARY.encode() not in led((MATROSKA | OTHERS)[name], tmp_path, trap, plain)
    assert not (tmp_path.parent.parent / "pwned").exists()


def stretched(data: bytes, kind: bytes, offset: int, value: bytes) -> bytes:
    """A video with other bytes in its first box of that kind."""
    at = data.index(kind) + 4 + offset
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize(
    ("kind", "offset", "value"),
    [
        (b"avc1", 24, b"\xff\xff\xff\xff"),  # width and height
        (b"tkhd", 76, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        (b"mdhd", 12, b"\0\0\0\0"),  # time scale
        (b"mdhd", 16, b"\xff\xff\xff\xff"),  # duration
        (b"stts", 4, b"\xff\xff\xff\xff"),
        (b"stts", 8, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        (b"stsz", 4, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        (b"stsc", 4, b"\xff\xff\xff\xff"),
        (b"stco", 4, b"\xff\xff\xff\xff"),
        (b"stco", 8, b"\xff\xff\xff\xff"),
        (b"stsd", 4, b"\xff\xff\xff\xff"),
        (b"avcC", 0, b"\xff" * 20),
        (b"hdlr", 8, b"soun"),
        (b"elst", 8, b"\xff" * 12),
        (b"trak", 0, b"\0\0\0\0"),
        (b"mdia", 0, b"\0\0\0\1"),
        (b"moov", 0, b"\xff\xff\xff\xff"),
        (b"mdat", 0, b"\xff" * 400),
    ],
    ids=lambda value: value.decode("latin-1") if isinstance(value, bytes) and value.isalnum() else None,
)
def test_a_video_whose_index_lies_is_refused_or_bounded(
    kind: bytes, offset: int, value: bytes, tmp_path: Path, trap: socket.socket, plain: Path
) -> None:
    data = stretched(plain.read_bytes(), kind, offset, value)
    with suppress(UnreadableMedia):
        index = read_index(lambda at, count: data[at : at + count], len(data))
        span = index.window(0.2)
        assert span is None or 0 <= span[0] <= span[1]
    deadline = Deadline.after(20)
    (tmp_path / "a.mp4").write_bytes(data)
    limits = ["-max_pixels", "9000000", *untrusted_input(tmp_path / "a.mp4")]
    with suppress(ColdswapError):
        run([*limits, "-frames:v", "30", *X264, str(tmp_path / "out.mp4")], deadline=deadline)
    assert deadline.left() > 5
    assert not (tmp_path / "out.mp4").exists() or (tmp_path / "out.mp4").stat().st_size < 1 << 20


HEADS = {
    "deep": b"".join(struct.pack(">I4s", 8 * (5000 - depth), b"moov") for depth in range(5000)),
    "many": box(b"ftyp", b"isom") + box(b"free") * 100_000,
    "moov-too-large": box(b"ftyp", b"isom") + struct.pack(">I4s", MAX_INDEX_BYTES + 1, b"moov"),
    "moov-of-exabytes": box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"moov", 1 << 62),
    "box-of-nothing": box(b"ftyp", b"isom") + struct.pack(">I4s", 3, b"moov"),
    "long-of-nothing": box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"free", 4),
    "children": box(b"moov", box(b"trak") * 100_000),
    "tracks-without-end": box(b"moov", struct.pack(">I4s", 0, b"trak") * 999),
    "xmp-of-nothing": box(b"ftyp", b"isom") + box(b"uuid", bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_crooked_head_is_told_in_time(name: str, tmp_path: Path) -> None:
    data, deadline = HEADS[name], Deadline.after(5)
    (tmp_path / "a.mp4").write_bytes(data)

    with pytest.raises(UnreadableMedia):
        read_index(lambda at, count: data[at : at + count], len(data))
    with suppress(ValueError):
        assert read_mp4_label(tmp_path / "a.mp4") is None
    assert deadline.left() > 3


def test_a_file_name_is_no_option_and_no_protocol(tmp_path: Path, plain: Path) -> None:
    """Names of work files are ours; should one ever not be, it stays a name."""
    for name in ("-y", "http:a.mp4", "concat:a|b", "%03d.mp4", "a b'c\".mp4", "\n.mp4", "pipe:0"):
        path = tmp_path / name
        path.write_bytes(plain.read_bytes())
        out = tmp_path / "out.mp4"
        run([*untrusted_input(path), *X264, str(out)], deadline=Deadline.after(20))
        assert out.stat().st_size > 500
        out.unlink()


def test_a_data_uri_inside_is_not_unpacked(tmp_path: Path, trap: socket.socket, plain: Path) -> None:
    inner = base64.b64encode(plain.read_bytes()).decode()
    playlist = f"#EXTM3U\n#EXTINF:5,\ndata:video/mp4;base64,{inner}\n#EXT-X-ENDLIST\n"

    assert led(playlist, tmp_path, trap, plain) == b""
