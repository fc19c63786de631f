"""What belongs together across connections: sessions, connections, tasks, events."""
