#!/usr/bin/env bash
# up.sh DIR [BASE_PORT]
#
# Starts a private Slurm (munged + slurmctld + one slurmd per node) for tests,
# with its whole state under DIR and every listener on loopback. Idempotent:
# a daemon that runs is left alone,
# one that died is started again. Prints 'slurm ready' once every node is idle.
# Afterwards:   . DIR/env     (sets SLURM_CONF; the clients need nothing else)
# Stop with:    down.sh DIR
# Ports: BASE slurmctld, BASE+1.. slurmd, BASE+98 mariadbd and BASE+99 slurmdbd (default 17000).
#
# Knobs, read from the environment at the first start (slurm.conf is written then):
#   SLURM_TEST_NODES        nodes, each a slurmd of its own           (1)
#   SLURM_TEST_CPUS         CPUs a node claims to have                (4)
#   SLURM_TEST_GPUS         fake GPUs per node                        (2)
#   SLURM_TEST_CRED_EXPIRE  seconds; a requeued job waits this + 1    (5)
#   SLURM_TEST_SLURMD_TIMEOUT  seconds until a silent node counts as down  (60)
#   SLURM_TEST_SACCT        1: also mariadbd + slurmdbd, so that sacct works (0)
#   SLURM_TEST_WAIT         seconds to wait for the nodes             (60)
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: $0 DIR [BASE_PORT]" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd -P)
base=${2:-17000}
nodes=${SLURM_TEST_NODES:-1}
cpus=${SLURM_TEST_CPUS:-4}
gpus=${SLURM_TEST_GPUS:-2}
cred=${SLURM_TEST_CRED_EXPIRE:-5}
slurmd_timeout=${SLURM_TEST_SLURMD_TIMEOUT:-60}
sacct=${SLURM_TEST_SACCT:-0}
wait_s=${SLURM_TEST_WAIT:-60}
say() { echo "slurm/up.sh: $*" >&2; }
die() { say "$*"; exit 1; }
[ "$(id -u)" = 0 ] || die "must run as root"
# One at a time per DIR; -o so that no daemon inherits (and keeps) the lock.
if [ "${SLURM_UP_LOCKED-}" != "$dir" ]; then
  SLURM_UP_LOCKED=$dir exec flock -o "$dir/.lock" "$BASH" "$0" "$@"
fi
unset SLURM_UP_LOCKED
# A job's socket path DIR/spool.n0/n0_<job>.<step> and munge.sock must fit in 107 bytes.
[ ${#dir} -le 70 ] || die "DIR is too long (${#dir} > 70 bytes): unix socket paths would not fit"
case $dir in *' '*) die "DIR must not hold a blank";; esac

# A DIR that was set up before keeps its settings.
if [ -f "$dir/slurm.conf" ]; then
  sacct=0
  if [ -f "$dir/slurmdbd.conf" ]; then sacct=1; fi
fi

# ---- packages -------------------------------------------------------------
commands="munged slurmctld slurmd sbatch squeue"
[ "$sacct" = 1 ] && commands+=" slurmdbd mariadbd"
for c in $commands; do
  command -v "$c" > /dev/null || die "$c is missing; on Debian: apt-get install --no-install-recommends munge slurm-client slurm-wlm-basic-plugins slurmctld slurmd"
done

# ---- configuration (only once per DIR) ------------------------------------
# Slurm's daemons listen on whatever their host name resolves to (NoInAddrAny below). Where that
# is not loopback, they get a UTS namespace of their own in which the host is 'localhost'.
host=$(hostname -s)
uts=()
if ! getent ahostsv4 "$host" | grep -q '^127\.'; then
  host=localhost
  uts=(unshare --uts sh -c 'hostname localhost && exec "$@"' sh)
fi
if [ ! -f "$dir/slurm.conf" ]; then
  # munged insists that no parent of its files is group- or world-writable without the sticky bit.
  mkdir -p "$dir/state" "$dir/log" "$dir/munge" "$dir/gpu"
  chmod 755 "$dir" "$dir/munge"
  # munged refuses a key that others can read.
  ( umask 077; head -c 128 /dev/urandom > "$dir/munge/key" )
  nodelist=; nodelines=; greslines=
  for ((i = 0; i < nodes; i++)); do
    mkdir -p "$dir/spool.n$i"
    gres=
    if [ "$gpus" -gt 0 ]; then
      gres=" Gres=gpu:$gpus"
      # Slurm sets CUDA_VISIBLE_DEVICES only for File= entries that are device nodes (a plain
      # file or Count= alone places jobs just as well, but without the variable), so make
      # copies of /dev/null; where mknod is not allowed, fall back to the count.
      mkdir -p "$dir/gpu/n$i"
      devs=1
      for ((g = 0; g < gpus; g++)); do
        [ -e "$dir/gpu/n$i/nvidia$g" ] || mknod "$dir/gpu/n$i/nvidia$g" c 1 3 2>/dev/null || devs=0
      done
      if [ $devs = 1 ]; then
        greslines+="NodeName=n$i Name=gpu File=$dir/gpu/n$i/nvidia[0-$((gpus - 1))]"$'\n'
      else
        greslines+="NodeName=n$i Name=gpu Count=$gpus"$'\n'
      fi
    fi
    nodelines+="NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((base + 1 + i)) CPUs=$cpus RealMemory=2048$gres State=UNKNOWN"$'\n'
    nodelist+="${nodelist:+,}n$i"
  done
  printf 'AutoDetect=off\n%s' "$greslines" > "$dir/gres.conf"
  # Unused with the plugins below, but slurmd looks for it and would probe the host's cgroups.
  printf 'CgroupAutomount=no\n' > "$dir/cgroup.conf"
  acct=AccountingStorageType=accounting_storage/none
  if [ "$sacct" = 1 ]; then
    acct="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
# The munge socket: sacct, sacctmgr and slurmctld do not take it from AuthInfo for slurmdbd.
AccountingStoragePass=$dir/munge/sock
AccountingStoragePort=$((base + 99))"
    ( umask 077; cat > "$dir/slurmdbd.conf" ) <<CONF
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=$((base + 99))
CommunicationParameters=NoInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/sock
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((base + 98))
StorageUser=root
StorageLoc=slurm
PidFile=$dir/slurmdbd.pid
LogFile=$dir/log/slurmdbd.log
CommitDelay=0
CONF
  fi
  cat > "$dir/slurm.conf.tmp" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$base
SlurmUser=root
SlurmdUser=root
# Bind to the addresses above, not to 0.0.0.0.
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny

AuthType=auth/munge
# cred_expire is also how long a requeued job must wait before it may start again (default 120).
AuthInfo=socket=$dir/munge/sock,cred_expire=$cred
CredType=cred/munge

StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool.%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.%n.log
SlurmctldDebug=info
SlurmdDebug=info

ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true

SchedulerType=sched/backfill
# Short intervals: a job starts within a second of its submission or of its slot's release.
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
# The nodes may claim more than the host has.
SlurmdParameters=config_overrides
PriorityType=priority/basic
PreemptType=preempt/none
GresTypes=gpu

JobRequeue=1
MaxArraySize=10001
MaxJobCount=20000
# Ended jobs stay visible to squeue/scontrol this long (default 300): tests read their states.
MinJobAge=600
KillWait=3
CompleteWait=0
InactiveLimit=0
OverTimeLimit=0
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=$slurmd_timeout
BatchStartTimeout=10
MessageTimeout=10
UnkillableStepTimeout=30

$acct
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/jobcomp.txt

${nodelines}PartitionName=test Nodes=$nodelist Default=YES MaxTime=INFINITE DefaultTime=10 State=UP
CONF
  cat > "$dir/env" <<ENV
export SLURM_CONF=$dir/slurm.conf
ENV
  mv "$dir/slurm.conf.tmp" "$dir/slurm.conf"
fi
export SLURM_CONF=$dir/slurm.conf

# ---- daemons --------------------------------------------------------------
# running PIDFILE NAME: the pid in the file is alive (no zombie: pid 1 may reap late) and is
# that program (pids get reused, and kill -9 leaves the file).
running() {
  local pid
  read -r pid 2>/dev/null < "$1" || return 1
  [ -n "$pid" ] && grep -qsx "Name:	$2" "/proc/$pid/status" &&
    ! grep -qs '^State:	[ZX]' "/proc/$pid/status"
} 2>/dev/null
if ! running "$dir/munge/pid" munged; then
  munged --origin=127.0.0.1 --key-file="$dir/munge/key" --socket="$dir/munge/sock" --pid-file="$dir/munge/pid" \
    --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" --num-threads=2 ||
    die "munged failed, see $dir/munge/log"
fi
if [ "$sacct" = 1 ]; then
  myopts="--no-defaults --user=root --datadir=$dir/mysql --innodb-log-file-size=8M --innodb-buffer-pool-size=16M"
  if ! running "$dir/mysqld.pid" mariadbd; then
    if [ ! -d "$dir/mysql/mysql" ]; then # mariadb-install-db needs more packages than this does
      mkdir -p "$dir/mysql"
      { printf 'create database mysql;\nuse mysql;\n'
        cat /usr/share/mysql/mysql_system_tables.sql /usr/share/mysql/mysql_system_tables_data.sql
      } | mariadbd $myopts --bootstrap > "$dir/log/mysql-boot.log" 2>&1 || die "see $dir/log/mysql-boot.log"
    fi
    rm -f "$dir/mysqld.sock"
    # No passwords, hence loopback only.
    setsid mariadbd $myopts --skip-grant-tables --bind-address=127.0.0.1 --port=$((base + 98)) \
      --socket="$dir/mysqld.sock" --pid-file="$dir/mysqld.pid" --skip-log-bin --skip-name-resolve \
      --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900 \
      > "$dir/log/mysqld.log" 2>&1 < /dev/null &
    for ((i = 0; i < 150; i++)); do [ -S "$dir/mysqld.sock" ] && break; sleep 0.1; done
    [ -S "$dir/mysqld.sock" ] || die "mariadbd failed, see $dir/log/mysqld.log"
  fi
  if ! running "$dir/slurmdbd.pid" slurmdbd; then
    "${uts[@]}" slurmdbd || die "slurmdbd failed, see $dir/log/slurmdbd.log"
    end=$((SECONDS + wait_s))
    until clusters=$(timeout 10 sacctmgr -n list cluster test 2>/dev/null); do
      [ $SECONDS -lt $end ] || die "slurmdbd does not answer, see $dir/log/slurmdbd.log"
      sleep 0.2
    done
    [ -n "$clusters" ] || timeout 30 sacctmgr -i add cluster test > /dev/null || die "sacctmgr failed"
  fi
fi
if ! running "$dir/slurmctld.pid" slurmctld; then
  "${uts[@]}" slurmctld -f "$SLURM_CONF" || die "slurmctld failed, see $dir/log/slurmctld.log"
fi
for n in $(sed -n 's/^NodeName=\([^ ]*\) .*/\1/p' "$SLURM_CONF"); do
  running "$dir/slurmd.$n.pid" slurmd ||
    "${uts[@]}" slurmd -f "$SLURM_CONF" -N "$n" || die "slurmd $n failed, see $dir/log/slurmd.$n.log"
done

# ---- wait -----------------------------------------------------------------
# Ready = every node up and answering ('mixed' or 'allocated' when called again with jobs
# running; a trailing '*', not matched here, means not responding).
start=$SECONDS
end=$((SECONDS + wait_s))
while :; do
  # It forks before it binds: a port that is taken shows only now.
  [ $SECONDS -lt $((start + 3)) ] || running "$dir/slurmctld.pid" slurmctld ||
    { tail -n 5 "$dir/log/slurmctld.log" >&2; die "slurmctld died"; }
  states=$(timeout 10 sinfo -h -N -o '%T' 2>/dev/null || true)
  if [ -n "$states" ] && ! grep -qvxE 'idle|mixed|allocated|completing' <<<"$states"; then break; fi
  [ $SECONDS -lt $end ] || { sinfo -N -l >&2 || true; tail -n 5 "$dir"/log/*.log >&2; die "nodes not ready after ${wait_s}s"; }
  sleep 0.2
done
echo 'slurm ready'
