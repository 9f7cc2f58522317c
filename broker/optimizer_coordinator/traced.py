"""A request's way through a coordinator as a step of its trace."""

import msgspec
from msgspec.structs import replace

from optimizer_coordinator.intake import Intake
from optimizer_service import tracing
from optimizer_state.admission import Admitted, Join, Lead
from optimizer_wire import tracing as names
from optimizer_wire.messages import REQUEST_TYPE


def traced(intake: Intake) -> Intake:
    """The request with its step, under which its call will be; as it is, if nothing is traced or it is taken back."""
    if intake.cancel:
        return intake
    request = intake.request
    step = tracing.begin(
        names.PROCESS_REQUEST,
        "consumer",
        intake.waiter.trace,
        {
            names.MESSAGING_SYSTEM: "rabbitmq",
            names.MESSAGING_DESTINATION: "optimizer.requests",
            names.MESSAGING_OPERATION: REQUEST_TYPE,
            names.MESSAGING_OPERATION_TYPE: "process",
            names.MESSAGING_ID: request.id,
            names.AGENT: request.agent,
            names.TASK: intake.task,
            names.PRIORITY: request.priority.value,
        },
    )
    if step is None:
        return intake
    waiter = msgspec.structs.replace(intake.waiter, trace=step.trace)
    return replace(intake, admission=replace(intake.admission, waiter=waiter), step=step)


def note_result(intake: Intake, decision: Admitted) -> None:
    """What became of the request: `hit`, `join`, `lead` and so on."""
    if intake.step is not None:
        intake.step.note({names.RESULT: type(decision).__name__.lower()})


def publishes(decision: Admitted) -> bool:
    """Whether a call is published for the request, in the background."""
    return isinstance(decision, Lead) or (isinstance(decision, Join) and decision.publish_again)
