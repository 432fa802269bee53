"""What every process of makima shares, in layers: domain < messages < bus, store < service."""
