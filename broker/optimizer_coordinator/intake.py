"""From a message on the request queue to a request that can be admitted. Pure: everything it needs is passed in."""

import msgspec

from optimizer_config.model import Config
from optimizer_coordinator.routing import Router, View
from optimizer_coordinator.senders import Senders
from optimizer_coordinator.tasks import detect
from optimizer_service.tracing import Step
from optimizer_state.admission import Admission
from optimizer_state.mailboxes import Submission, address_of
from optimizer_wire.codec import MAX_NAME_BYTES, check_json, decode
from optimizer_wire.errors import AuthenticationError, DeadlineExceeded, InvalidRequest, OptimizerError
from optimizer_wire.fingerprint import fingerprint, lone_fingerprint
from optimizer_wire.messages import (
    CANCEL_TYPE,
    REQUEST_TYPE,
    SUBMIT_TYPE,
    VERSION,
    Call,
    Fetch,
    Hop,
    Op,
    Request,
    Task,
    Waiter,
)
from optimizer_wire.topology import Names

# Every event of a request repeats its tags.
MAX_TAGS_CHARS = 4_096


class Envelope(msgspec.Struct, frozen=True):
    """What RabbitMQ says of a message. `user` is vouched for by the broker, or None."""

    body: bytes
    kind: str | None
    reply_to: str | None
    user: str | None
    received_ms: int
    agent: str | None = None
    trace: str = ""


class Intake(msgspec.Struct, frozen=True):
    """A request that was understood, and all that follows from it. `cancel`: it is no longer wanted.

    `submitted`: nobody listens for its reply, which goes to a mailbox. `step` is its part of a trace, if there is one.
    """

    request: Request
    task: Task
    admission: Admission
    cancel: bool = False
    submitted: bool = False
    step: Step | None = None

    @property
    def waiter(self) -> Waiter:
        """Where to reply, until when."""
        return self.admission.waiter

    @property
    def submission(self) -> Submission:
        """What its mailbox is to know of it."""
        return Submission(self.waiter, self.admission.fingerprint, self.request.model, self.task, self.request.op)


class Lookup(msgspec.Struct, frozen=True):
    """A question about a submitted request that was understood: whose mailbox it may look into, where to answer."""

    fetch: Fetch
    mailbox: str
    reply_to: str


class Asker(msgspec.Struct, frozen=True):
    """Whose a message is that was refused: what is known of it, and its request if it is one."""

    agent: str | None = None
    tenant: str | None = None
    request: Request | None = None


class Reception:
    """Understands, checks and identifies requests."""

    def __init__(self, config: Config, names: Names, router: Router) -> None:
        self._config = config
        self._names = names
        self._router = router
        self._senders = Senders(config)

    def may_reply(self, envelope: Envelope) -> bool:
        """Whether the reply address is one that this sender may name."""
        if envelope.user is None and self._senders.must_be_known:
            # It could be anybody's queue: what is said there would be taken for an answer.
            return False
        prefix = self._names.reply_prefix(envelope.user)
        if not envelope.reply_to or not envelope.reply_to.startswith(prefix):
            return False
        # The queues of a user "a.b" begin with the prefix of a user "a": what follows must be an instance alone.
        instance = envelope.reply_to.removeprefix(prefix)
        return bool(instance) and not (envelope.user and "." in instance)

    def named_agent(self, envelope: Envelope) -> str | None:
        """The agent that a message says it comes from (`app_id`), if its sender may say so."""
        return envelope.agent if envelope.agent and self._senders.may_speak(envelope.user, envelope.agent) else None

    def asker(self, envelope: Envelope) -> Asker:
        """Whose a message is that is refused, so that its agent finds it among its requests.

        It has a tenant only if it is a request that its sender may make, however wrong what it asks for is.
        """
        unknown = Asker(self.named_agent(envelope))
        if envelope.kind not in {REQUEST_TYPE, SUBMIT_TYPE}:
            return unknown
        try:
            request = decode(envelope.body, Request)
            tenant = self._senders.tenant_of(envelope.user, request.agent)
            self._check_names(request)
        except OptimizerError:
            return unknown
        if envelope.agent not in {None, request.agent}:
            return unknown
        return Asker(request.agent, tenant, request)

    def answer_to(self, envelope: Envelope) -> str | None:
        """Where the sender of a message that was not understood can be told so, if anywhere."""
        if envelope.kind == SUBMIT_TYPE:
            return envelope.user and address_of(envelope.user, self._senders.own_tenant(envelope.user))
        return envelope.reply_to if self.may_reply(envelope) else None

    def look_up(self, envelope: Envelope) -> Lookup:
        """Understand a question about a submitted request.

        :raises OptimizerError: of the kind that its sender is to be told.
        """
        fetch = decode(envelope.body, Fetch)
        tenant = self._senders.tenant_of(envelope.user, fetch.agent)
        if not fetch.id.isprintable() or len(fetch.id.encode()) > MAX_NAME_BYTES:
            raise InvalidRequest(f"The id must be printable text of at most {MAX_NAME_BYTES} bytes.")
        return Lookup(fetch, _mailbox(envelope, tenant), self._reply_to(envelope))

    def _reply_to(self, envelope: Envelope) -> str:
        if not envelope.reply_to:
            raise InvalidRequest("The request has no reply_to: there is nobody to answer.")
        if not self.may_reply(envelope):
            raise AuthenticationError("The request's reply_to is not a reply queue of its sender.")
        return envelope.reply_to

    def receive(self, envelope: Envelope) -> Intake:
        """Understand one message.

        :raises OptimizerError: of the kind that its sender is to be told.
        """
        if envelope.kind not in {REQUEST_TYPE, CANCEL_TYPE, SUBMIT_TYPE}:
            raise InvalidRequest(f"A message of type {str(envelope.kind)[:80]!r} is not a request ({REQUEST_TYPE}).")
        request = decode(envelope.body, Request)
        tenant = self._senders.tenant_of(envelope.user, request.agent)
        submitted = envelope.kind == SUBMIT_TYPE
        reply_to = _mailbox(envelope, tenant) if submitted else self._reply_to(envelope)
        if envelope.agent is not None and envelope.agent != request.agent:
            raise AuthenticationError("The message's app_id and the agent of its request are not the same.")
        self._check_names(request)
        self._check(request)
        task = request.task or detect(request.params).task
        self._router.check(request.model)
        waiter = Waiter(
            id=request.id,
            reply_to=reply_to,
            deadline_ms=envelope.received_ms + request.timeout_ms,
            agent=request.agent,
            tenant=tenant,
            priority=request.priority,
            since_ms=envelope.received_ms,
            trace=envelope.trace,
        )
        alone = request.cache.mode == "off"
        name = lone_fingerprint(request, tenant, envelope.user) if alone else fingerprint(request, tenant, task)
        admission = Admission(name, waiter, may_read=request.cache.mode == "use")
        return Intake(request, task, admission, cancel=envelope.kind == CANCEL_TYPE, submitted=submitted)

    @staticmethod
    def _check_names(request: Request) -> None:
        if not request.id.isprintable() or not request.agent.isprintable():
            raise InvalidRequest("The id and the agent's name must be printable text.")
        if max(len(request.id.encode()), len(request.agent.encode())) > MAX_NAME_BYTES:
            raise InvalidRequest(f"The id and the agent's name may have at most {MAX_NAME_BYTES} bytes each.")

    @staticmethod
    def _check(request: Request) -> None:
        if request.stream or request.params.get("stream"):
            raise InvalidRequest("Streaming is not supported yet: send the request without stream.")
        if sum(len(name) + len(value) for name, value in request.tags.items()) > MAX_TAGS_CHARS:
            raise InvalidRequest(f"The tags may have at most {MAX_TAGS_CHARS:,} characters in all.")
        if request.supersede and not request.ordering_key:
            raise InvalidRequest("To supersede needs an ordering_key: it says which older requests to cancel.")
        check_json(request.params)
        field = "messages" if request.op == "chat" else "input"
        if not request.params.get(field):
            raise InvalidRequest(f"The parameters of {request.op} need {field!r}, and it must not be empty.")
        if request.op == "chat" and not isinstance(request.params["messages"], list):
            raise InvalidRequest("The parameter 'messages' must be a list of messages.")

    def route(self, intake: Intake, view: View) -> tuple[Hop, ...]:
        """The stations for a request.

        :raises UnknownModel: if nothing has the name it asks for.
        :raises BackendUnavailable: if nothing that could serve it runs.
        """
        return self.route_of(intake.request.model, intake.task, intake.request.op, view)

    def route_of(self, model: str, task: Task, op: Op, view: View) -> tuple[Hop, ...]:
        """The same for what is known of a request."""
        return self._router.route(model, task, op, view)

    def must_miss(self, intake: Intake, view: View) -> DeadlineExceeded | None:
        """The error to tell at once if no live backend of a request's route takes a call before its deadline."""
        shut = self._router.shut(intake.request.model, intake.task, intake.request.op, view)
        if not shut:
            return None
        soonest_ms = min(each.until_ms for each in shut.values())
        if soonest_ms <= intake.waiter.deadline_ms:
            return None
        now_ms = view.now_ms
        waits = (f"{name} for {(each.until_ms - now_ms) / 1000:.0f} s ({each.reason})" for name, each in shut.items())
        left_s = max(0, intake.waiter.deadline_ms - now_ms) / 1000
        return DeadlineExceeded(
            f"No backend of its route takes a call within the {left_s:.0f} s it has: {', '.join(waits)}.",
            retry_after_s=(soonest_ms - now_ms) / 1000,
        )

    def call(self, intake: Intake, route: tuple[Hop, ...], flight: int, number: int) -> Call:
        """The call for a request that leads a flight (0: none)."""
        request = intake.request
        return Call(
            v=VERSION,
            fingerprint=intake.admission.fingerprint,
            flight=flight,
            number=number,
            waiter=intake.waiter,
            params=request.params,
            route=route,
            op=request.op,
            task=intake.task,
            may_read=intake.admission.may_read,
            store_ttl_ms=self._store_ttl_ms(intake),
            namespace=request.cache.namespace,
            ordering_key=request.ordering_key,
            tags=request.tags,
        )

    def _store_ttl_ms(self, intake: Intake) -> int:
        policy = intake.request.cache
        if policy.mode == "off":
            return 0
        ttl_s = self._config.cache.ttl_for(intake.task) if policy.ttl_s is None else policy.ttl_s
        return round(ttl_s * 1000)


def _mailbox(envelope: Envelope, tenant: str) -> str:
    if envelope.user is None:
        raise AuthenticationError(
            "A submitted request must carry its RabbitMQ user (user_id): nobody else may fetch its answer."
        )
    return address_of(envelope.user, tenant)
