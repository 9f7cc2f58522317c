"""Which rights on RabbitMQ each user needs, and no more."""
