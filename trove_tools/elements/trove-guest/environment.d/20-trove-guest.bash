export DIB_TROVE_GUEST_USER=${DIB_TROVE_GUEST_USER:-ubuntu}
export DIB_TROVE_GUEST_DOCS=${DIB_TROVE_GUEST_DOCS:-0}
# cloud-init configures the network with systemd-networkd; interfaces of
# diskimage-builder's own would be a second owner of the same ports.
export DIB_APT_MINIMAL_CREATE_INTERFACES=${DIB_APT_MINIMAL_CREATE_INTERFACES:-0}
# Nobody sits in front of a cloud guest's boot menu.
export DIB_GRUB_TIMEOUT=${DIB_GRUB_TIMEOUT:-1}
