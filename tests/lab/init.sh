#!/bin/bash
# Process 1 of a machine of the lab: see machines.py. The kernel's command line says which machine it is (node=), where the lab's
# own folder is (lab=), and which folders of the outer machine it needs although its own /root, /home or /tmp hide them (lend=a:b).
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
for word in $(cat /proc/cmdline); do
    case $word in node=* | lab=* | lend=* | net=*) declare "${word%%=*}=${word#*=}" ;; esac
done

# The root is the outer machine's, read-only; what a machine has of its own is laid over it.
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs mnt /mnt
mkdir /mnt/lab /mnt/disk /mnt/nfs /mnt/lib
mount -t hostfs -o "$lab" lab /mnt/lab
mkdir -p /mnt/lib/lib/modules
ln -s "/usr/lib/uml/modules/$(uname -r)" "/mnt/lib/lib/modules/$(uname -r)"
mount -t ext4 /dev/ubda /mnt/disk
mkdir -p /mnt/disk/{root/.ssh,home,var_tmp,ssh}
mount --bind /mnt/disk/root /root
mount --bind /mnt/disk/home /home
mount --bind /mnt/disk/var_tmp /var/tmp
mount -t tmpfs tmp /tmp
chmod 1777 /tmp /var/tmp
chmod 700 /root /root/.ssh
for folder in ${lend//:/ }; do
    mkdir -p "$folder" && mount -t hostfs -o "$folder" -o ro lent "$folder"
done

hostname "node$node"
{ cat /etc/hosts; for i in {0..9}; do echo "$net$i node$i"; done; } >/run/hosts
mount --bind /run/hosts /etc/hosts
ip link set lo up
ip addr add "$net$node/24" dev eth0
ip link set eth0 up

# Without these two the first lock waits for most of a minute.
modprobe -d /mnt/lib lockd nlm_grace_period=1 nlm_timeout=3
for module in nfsv4 nfsv3 nfsd sch_netem; do modprobe -d /mnt/lib $module; done
if [ "$node" = 0 ]; then
    # Who had locks here before a power loss may claim them again within nfsv4gracetime (s) after it.
    fresh=Y && [ -e /mnt/disk/nfs ] && fresh=
    mkdir -p /mnt/disk/export /mnt/disk/nfs/{nfsdcltrack,rpc_pipefs,sm,v4recovery}
    touch /mnt/disk/nfs/{etab,rmtab,state}
    mount --bind /mnt/disk/nfs /var/lib/nfs
    mount -t nfsd nfsd /proc/fs/nfsd
    rpcbind -w
    echo 10 >/proc/fs/nfsd/nfsv4leasetime
    echo 40 >/proc/fs/nfsd/nfsv4gracetime
    chmod 1777 /mnt/disk/export
    exportfs -o rw,sync,no_root_squash,fsid=0,insecure,no_subtree_check "${net%.*}.0/24:/mnt/disk/export"
    rpc.mountd
    rpc.nfsd 8
    [ -z "$fresh" ] || echo Y >/proc/fs/nfsd/v4_end_grace
else
    until mount -t nfs4 -o vers=4.2,hard "${net}0:/" /mnt/nfs; do sleep 0.5; done
fi

# One key opens every machine; each has a host key of its own, which all the others know.
cp /mnt/lab/id_ed25519 /root/.ssh/
cp /mnt/lab/id_ed25519.pub /root/.ssh/authorized_keys
cp "/mnt/lab/host$node" /run/host_key
chmod 600 /root/.ssh/* /run/host_key
for i in {0..9}; do [ -f "/mnt/lab/host$i.pub" ] && echo "node$i $(cut -d' ' -f1,2 "/mnt/lab/host$i.pub")"; done >/root/.ssh/known_hosts
mkdir -p /run/sshd
/usr/sbin/sshd -h /run/host_key -o UsePAM=no -o PermitRootLogin=yes -o PasswordAuthentication=no -o StrictModes=no -o PidFile=none
# It listens only after it has left for the background.
until (: </dev/tcp/127.0.0.1/22) 2>/dev/null; do sleep 0.1; done
cat /proc/sys/kernel/random/boot_id >"/mnt/lab/node$node.up"
sync
while :; do sleep 60; done
