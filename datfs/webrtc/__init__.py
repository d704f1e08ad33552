"""The built-in WebRTC engine: the only place where aiortc and asyncio live."""

from datfs.webrtc.bridge import TransportStats
from datfs.webrtc.certificate import Certificate
from datfs.webrtc.configuration import EngineConfig, IceServer
from datfs.webrtc.data_channel import DataChannel
from datfs.webrtc.engine import Engine, LocalAnswer, LocalOffer, open_engine
from datfs.webrtc.peer_connection import ConnectionState, PeerConnection

__all__ = [
    "Certificate",
    "ConnectionState",
    "DataChannel",
    "Engine",
    "EngineConfig",
    "IceServer",
    "LocalAnswer",
    "LocalOffer",
    "PeerConnection",
    "TransportStats",
    "open_engine",
]
