"""What the page may load, and whom it may talk to: the headers that browsers enforce."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from layers.core.identity import AuthMode

# Issuers whose token endpoint is at another origin than the issuer itself. Amazon Cognito, "User pool domains": the
# hosted domain; a custom one is not known here. Google, its discovery document.
_GOOGLE = "https://accounts.google.com"
_GOOGLE_TOKENS = "https://oauth2.googleapis.com"
_COGNITO = "cognito-idp."


def list_connections(mode: AuthMode, environment: Mapping[str, str]) -> list[str]:
    """Origins, beside the page's own, to which it connects: the buckets that links and upload forms lead to, and the
    issuer where callers sign in."""
    names = ("UPLOADS_BUCKET", "OUTPUTS_BUCKET")
    origins = [origin for name in names for origin in bucket_origins(environment.get(name, ""), environment)]
    return list(dict.fromkeys(origins + (issuer_origins(environment.get("JWT_ISSUER", "")) if mode == "jwt" else [])))


def bucket_origins(bucket: str, environment: Mapping[str, str]) -> list[str]:
    """Where signed links to a bucket lead, as botocore makes them with virtual hosts."""
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    if endpoint:
        return [_origin(endpoint)]
    region = environment.get("AWS_REGION", "us-east-1")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    hosts = [f"{bucket}.s3.{region}.{suffix}"]
    if region == "us-east-1":
        hosts.append(f"{bucket}.s3.{suffix}")  # links of this region name none
    return [f"https://{host}" for host in hosts]


def issuer_origins(issuer: str) -> list[str]:
    """Where the issuer's discovery document and its token endpoint are."""
    if not issuer:
        return []
    origin = _origin(issuer)
    host = urlsplit(origin).netloc
    if host.startswith(_COGNITO):
        region = host.removeprefix(_COGNITO).partition(".")[0]
        return [origin, f"https://*.auth.{region}.amazoncognito.com"]
    return [origin, _GOOGLE_TOKENS] if origin == _GOOGLE else [origin]


def security_headers(connections: Iterable[str]) -> dict[str, str]:
    """The headers of the document; `connections` are origins beside its own."""
    others = "".join(f" {origin}" for origin in connections)
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": f"'self' blob: data:{others}",
        "img-src": f"'self' blob: data:{others}",
        "media-src": f"'self' blob: data:{others}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "permissions-policy": "camera=(self), microphone=(), geolocation=()",
        "cross-origin-opener-policy": "same-origin",
    }


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
