"""From link layer to TCP byte streams: addresses, segments, reassembly. Knows nothing of iSCSI."""
