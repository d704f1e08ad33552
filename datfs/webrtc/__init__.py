"""The built-in WebRTC engine: the only place where aiortc and asyncio live."""
