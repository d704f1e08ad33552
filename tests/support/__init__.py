"""What several tests share: JavaScript peers, network namespaces, real mounts."""
