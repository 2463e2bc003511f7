"""The connection to S3, and its errors as those of files."""

from __future__ import annotations

import errno
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 16
GONE = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})
ELSEWHERE = frozenset({"301", "PermanentRedirect", "AuthorizationHeaderMalformed"})
CREDENTIALS = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_lock = threading.Lock()
_clients: dict[str, Any] = {}


def client() -> Any:
    """Return the one client of this process, set up by its environment.

    Raises:
        InputError: boto3 is not installed, or the environment says what cannot be.
    """
    with _lock:
        if "s3" not in _clients:
            _clients["s3"] = _new_client()
    return _clients["s3"]


def _new_client() -> Any:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise InputError("s3:// needs boto3: pip install 'vlmad[s3]'") from None
    again = {"mode": "standard", "max_attempts": 5}
    how = Config(retries=again, max_pool_connections=CONNECTIONS, connect_timeout=10)
    try:
        return boto3.session.Session().client("s3", config=how)
    except (BotoCoreError, ValueError) as error:
        kind = type(error).__name__  # its message may hold what the environment says
        raise InputError(f"s3:// cannot be used as AWS_… is set ({kind})") from None


@contextmanager
def as_of_files() -> Iterator[None]:
    """Turn what S3 answers into errors of files, without the server's own words.

    Raises:
        FileNotFoundError: there is no such object or bucket.
        PermissionError: it may not be read, or nothing says who asks.
        OSError: anything else; with ENOTCONN if there was no answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))[:60]
        if code in GONE:
            what = "bucket" if code == "NoSuchBucket" else "object"
            raise FileNotFoundError(errno.ENOENT, f"no such {what}") from None
        how = "; set AWS_REGION to the bucket's" if code in ELSEWHERE else ""
        raise PermissionError(errno.EACCES, f"S3 answered {code}{how}") from None
    except NoCredentialsError:
        raise PermissionError(errno.EACCES, f"nobody is named who asks; {CREDENTIALS}") from None
    except (BotoCoreError, OSError) as error:  # whose words may hold the address and who asks
        kind = type(error).__name__
        raise OSError(errno.ENOTCONN, f"no whole answer from S3 ({kind})") from None
