"""What NATS says of the streams and of the workers' consumers."""

import asyncio

from nats.js import JetStreamContext

from services.gateway.operation_views import ConsumerView, StreamView
from shared.topology import STREAMS, WORK, Work


async def streams(js: JetStreamContext) -> list[StreamView]:
    """Raises `nats.errors.Error`."""
    infos = await asyncio.gather(*(js.stream_info(stream.name) for stream in STREAMS))
    return [
        StreamView(
            name=str(info.config.name),
            messages=info.state.messages,
            bytes=info.state.bytes,
            max_bytes=info.config.max_bytes,
            last_sequence=info.state.last_seq,
        )
        for info in infos
    ]


async def consumers(js: JetStreamContext) -> list[ConsumerView]:
    """Raises `nats.errors.Error`."""
    return list(await asyncio.gather(*(_consumer(js, work) for work in WORK)))


async def _consumer(js: JetStreamContext, work: Work) -> ConsumerView:
    info = await js.consumer_info(work.stream, work.durable)
    return ConsumerView(
        consumer=work.durable,
        service=work.service,
        stream=work.stream,
        subject=work.subject,
        lag=info.num_pending or 0,
        in_hand=info.num_ack_pending or 0,
        redelivered=info.num_redelivered or 0,
    )
