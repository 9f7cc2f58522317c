"""RabbitMQ and Redis for one machine: found, or started in containers, or as private instances of the programs."""

from optimizer_ops.services.ensure import ensure_services, stop_services
from optimizer_ops.services.urls import ServicesUnavailable, ServiceUrls

__all__ = ["ServiceUrls", "ServicesUnavailable", "ensure_services", "stop_services"]
