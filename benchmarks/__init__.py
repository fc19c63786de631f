"""What is measured against peers and against reality, and the lab that records that reality."""
