"""Link layers, IP and TCP: from packets to byte streams in order. Knows nothing of iSCSI."""
