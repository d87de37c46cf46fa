# Before the defaults of the elements whose variables these are (10-...).
export DIB_TROVE_GUEST_KERNEL=${DIB_TROVE_GUEST_KERNEL:-cloud}
# ubuntu-minimal asks for a kernel by name; this one is meant for guests.
export DIB_UBUNTU_KERNEL=${DIB_UBUNTU_KERNEL:-linux-image-virtual}
