"""SCSI as T10 writes it, declared: operation codes and CDB layouts, status, sense."""
