#!/bin/sh
# Run by mmdebstrap with the unpacked root as $1, before it becomes an archive: takes out what no
# container reads, and puts in place what the packages' own scripts would have made.
set -eu
cd "$1"

rm -rf usr/share/doc usr/share/man usr/share/info usr/share/locale usr/share/lintian usr/share/bug \
    usr/share/bash-completion usr/share/perl usr/share/perl5 usr/share/gdb usr/share/gcc usr/share/python3/debpython
rm -rf usr/lib/*/perl usr/lib/*/perl-base usr/lib/*/perl5 usr/lib/*/libperl.so.* usr/bin/perl* usr/lib/*/gconv
rm -rf usr/lib/python3.*/test usr/lib/python3.*/lib2to3 usr/lib/python3.*/pydoc_data usr/lib/python3.*/config-*

ln -sf bash bin/sh
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n' > etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' > etc/group
printf 'hosts: files dns\npasswd: files\ngroup: files\n' > etc/nsswitch.conf
chmod 0644 etc/passwd etc/group etc/nsswitch.conf

# A start is mostly imports, and the user of a container may not write here.
chroot . /usr/bin/python3 -c '
import compileall, sysconfig
from py_compile import PycInvalidationMode
compileall.compile_dir(sysconfig.get_path("stdlib"), quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
'
