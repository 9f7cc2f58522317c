"""What a form sent."""

from urllib.parse import parse_qsl

from starlette.requests import Request

_LONGEST = 16_384


class BadForm(Exception):
    """The form cannot be read."""


async def form_of(request: Request) -> dict[str, str]:
    """The fields of an urlencoded form.

    :raises BadForm: if it is too long or is none.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST:
            raise BadForm("This form is too long.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=32, errors="strict"))
    except ValueError:
        raise BadForm("This form cannot be read.") from None
