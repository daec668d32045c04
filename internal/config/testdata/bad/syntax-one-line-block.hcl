proxy { queue_limit = 1, max_connections = 2 }
