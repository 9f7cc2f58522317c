"""The fleet as it is now: what Redis and RabbitMQ tell, and what is wrong with it."""
