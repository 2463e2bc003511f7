"""The few functions of Aravis that bring frames, called where they are: no binding is installed.

PyGObject would call them too, but is built for the Python of the system alone.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_uint32, c_uint64, c_void_p
from functools import cache
from typing import Any, NamedTuple, Self

from PIL import Image
from vlmad.errors import InputError

LIBRARY, OBJECTS = "libaravis-0.8.so.0", "libgobject-2.0.so.0"
BUFFERS = 8
"""Frames that the camera may fill while none is taken."""
SUCCESS = 0
DAMAGED = {
    2: "it was not whole in time",
    3: "packets were lost on the way",
    4: "its packets came in disorder",
    5: "it has another size than the camera said",
    8: "it is of a kind that is not read",
}
"""What befell a buffer that holds no whole frame, by Aravis's number; others hold none at all."""
FORMATS = {0x01080001: ("L", "L"), 0x02180014: ("RGB", "RGB"), 0x02180015: ("RGB", "BGR")}
"""Mono8, RGB8 and BGR8 by their number: the mode of the image, and how its bytes lie."""
LARGEST = 1 << 30
"""Bytes of a frame; more is no frame."""


class GError(ctypes.Structure):
    """What Aravis says when something fails."""

    _fields_ = (("domain", c_uint32), ("code", c_int), ("message", c_char_p))


ErrorPlace = POINTER(POINTER(GError))
FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "arv_camera_new": (c_void_p, (c_char_p, ErrorPlace)),
    "arv_camera_set_pixel_format_from_string": (None, (c_void_p, c_char_p, ErrorPlace)),
    "arv_camera_get_payload": (c_uint, (c_void_p, ErrorPlace)),
    "arv_camera_create_stream": (c_void_p, (c_void_p, c_void_p, c_void_p, ErrorPlace)),
    "arv_camera_start_acquisition": (None, (c_void_p, ErrorPlace)),
    "arv_camera_stop_acquisition": (None, (c_void_p, ErrorPlace)),
    "arv_buffer_new_allocate": (c_void_p, (c_size_t,)),
    "arv_stream_push_buffer": (None, (c_void_p, c_void_p)),
    "arv_stream_try_pop_buffer": (c_void_p, (c_void_p,)),
    "arv_stream_timeout_pop_buffer": (c_void_p, (c_void_p, c_uint64)),
    "arv_buffer_get_status": (c_int, (c_void_p,)),
    "arv_buffer_get_frame_id": (c_uint64, (c_void_p,)),
    "arv_buffer_get_image_width": (c_int, (c_void_p,)),
    "arv_buffer_get_image_height": (c_int, (c_void_p,)),
    "arv_buffer_get_image_pixel_format": (c_uint32, (c_void_p,)),
    "arv_buffer_get_data": (c_void_p, (c_void_p, POINTER(c_size_t))),
}


@cache
def _libraries() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    try:
        library, objects = ctypes.CDLL(LIBRARY), ctypes.CDLL(OBJECTS)
    except OSError as error:
        raise InputError(
            f"Aravis is not there ({error}): apt-get install libaravis-0.8-0"
        ) from error
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    objects.g_object_unref.argtypes, objects.g_object_unref.restype = (c_void_p,), None
    objects.g_error_free.argtypes, objects.g_error_free.restype = (c_void_p,), None
    return library, objects


def _call(name: str, *arguments: Any) -> Any:
    """Call a function that cannot fail."""
    return getattr(_libraries()[0], name)(*arguments)


def _try(name: str, *arguments: Any) -> Any:
    """Call a function that may fail.

    Raises:
        InputError: it did.
    """
    fault = POINTER(GError)()
    result = _call(name, *arguments, byref(fault))
    if fault:
        message = (fault.contents.message or b"").decode("utf-8", "replace")
        _libraries()[1].g_error_free(ctypes.cast(fault, c_void_p))
        raise InputError(message or f"{name} failed")
    return result


class Frame(NamedTuple):
    """One image of a camera, or one that did not come whole."""

    number: int
    image: Image.Image | None
    fault: str = ""
    """Why there is no image."""


class Camera:
    """A camera that brings frames; use it in a ``with`` statement, from one thread.

    Args:
        name: its identifier or address as Aravis knows it; empty for the first that is found.
        pixel_format: what it is told to send, such as Mono8; empty to leave that as it is.

    Raises:
        InputError: it is not there, another program has it, or it refuses the format.
    """

    def __init__(self, name: str, pixel_format: str = "") -> None:
        self.name, self._format = name or "the first camera", pixel_format
        self._asked = name.encode() or None
        self._camera: int | None = None
        self._stream: int | None = None

    def __enter__(self) -> Self:
        try:
            self._open()
        except InputError as error:
            self._close()
            raise InputError(f"{self.name}: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def newest(self, seconds: float) -> Frame | None:
        """Wait for a frame and return the newest there is; None if none came in time.

        One that lost packets on its way has no image.

        Raises:
            InputError: its pixels lie in a way that is not read here.
        """
        waiting = _call("arv_stream_timeout_pop_buffer", self._stream, int(seconds * 1e6))
        frame = None
        while waiting:
            try:
                frame = self._read(waiting) or frame
            finally:
                _call("arv_stream_push_buffer", self._stream, waiting)
            waiting = _call("arv_stream_try_pop_buffer", self._stream)
        return frame

    def _open(self) -> None:
        self._camera = _try("arv_camera_new", self._asked)
        if not self._camera:
            raise InputError("it is not there")
        if self._format:
            _try("arv_camera_set_pixel_format_from_string", self._camera, self._format.encode())
        size = _try("arv_camera_get_payload", self._camera)
        if not 0 < size < LARGEST:
            raise InputError(f"its frames have {size} bytes")
        self._stream = _try("arv_camera_create_stream", self._camera, None, None)
        if not self._stream:
            raise InputError("it gives no stream")
        for _ in range(BUFFERS):
            _call("arv_stream_push_buffer", self._stream, _call("arv_buffer_new_allocate", size))
        _try("arv_camera_start_acquisition", self._camera)

    def _close(self) -> None:
        if self._camera and self._stream:
            with suppress(InputError):  # it may have gone
                _try("arv_camera_stop_acquisition", self._camera)
        for held in (self._stream, self._camera):
            if held:
                _libraries()[1].g_object_unref(held)
        self._stream = self._camera = None

    def _read(self, buffer: int) -> Frame | None:
        """Return what is in a buffer, copied; None if no frame was sent into it."""
        status = _call("arv_buffer_get_status", buffer)
        if status != SUCCESS:
            fault = DAMAGED.get(status)
            frame = _call("arv_buffer_get_frame_id", buffer)
            return Frame(frame, None, fault) if fault else None
        number = _call("arv_buffer_get_image_pixel_format", buffer)
        if number not in FORMATS:
            raise InputError(
                f"{self.name} sends pixels of format {number:#x}, which is not read here: "
                "add ?format=Mono8, RGB8 or BGR8, as the camera can"
            )
        mode, order = FORMATS[number]
        size = tuple(_call(f"arv_buffer_get_image_{side}", buffer) for side in ("width", "height"))
        count = c_size_t()
        data = _call("arv_buffer_get_data", buffer, byref(count))
        needed = size[0] * size[1] * len(order)
        if not data or min(size) < 1 or count.value < needed:
            return Frame(_call("arv_buffer_get_frame_id", buffer), None, "it is not whole")
        content = ctypes.string_at(data, needed)
        frame = Image.frombytes(mode, size, content, "raw", order)
        return Frame(_call("arv_buffer_get_frame_id", buffer), frame)
