# Before the defaults of the elements whose variables these are (10-...).
export DIB_TROVE_GUEST_USER=${DIB_TROVE_GUEST_USER:-ubuntu}
export DIB_TROVE_GUEST_DOCS=${DIB_TROVE_GUEST_DOCS:-0}
# cloud-init configures the network with systemd-networkd; interfaces of
# diskimage-builder's own would be a second owner of the same ports.
export DIB_APT_MINIMAL_CREATE_INTERFACES=${DIB_APT_MINIMAL_CREATE_INTERFACES:-0}
# Nova's config drive and metadata service.
export DIB_CLOUD_INIT_DATASOURCES=${DIB_CLOUD_INIT_DATASOURCES:-"ConfigDrive, OpenStack"}
# Nobody sits in front of a cloud guest's boot menu.
export DIB_GRUB_TIMEOUT=${DIB_GRUB_TIMEOUT:-1}
# Every line on a serial console makes the boot wait; keep warnings, errors and
# what systemd says.
export DIB_BOOTLOADER_DEFAULT_CMDLINE=${DIB_BOOTLOADER_DEFAULT_CMDLINE:-"loglevel=4 nomodeset"}
# Packages of an earlier day; the mirror is that day's.
export DIB_TROVE_SNAPSHOT=${DIB_TROVE_SNAPSHOT:-}
