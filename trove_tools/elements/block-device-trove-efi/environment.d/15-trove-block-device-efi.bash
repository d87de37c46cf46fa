# The bootloader element installs for the layout that this names.
export DIB_BLOCK_DEVICE=efi
