//! System calls that no daemon needs, and those that no everyday command needs either: seccomp(2).
//!
//! A list of what is refused, not of what is let through: which calls the C library and SQLite make changes with their
//! versions, and a daemon that may not flush its database is worse than one with a wide door (ADR 10).

use std::collections::BTreeMap;

use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM, c_int, c_long};
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads, sock_filter,
};

/// What neither a daemon nor an everyday command needs.
const OF_NOBODY: &[c_long] = &[
    // The kernel itself.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_nfsservctl,
    // Keys.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Mounts.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    // The host's clock and name.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
];

#[cfg(target_arch = "x86_64")]
const OF_NOBODY_HERE: &[c_long] = &[libc::SYS_iopl, libc::SYS_ioperm];
#[cfg(not(target_arch = "x86_64"))]
const OF_NOBODY_HERE: &[c_long] = &[];

/// What commands have a use for, and a daemon has none.
const OF_COMMANDS: &[c_long] = &[
    // Into other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // The kernel itself.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_syslog,
    libc::SYS_personality,
    // Namespaces, and what is seen of files.
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_fanotify_init,
    // Who this is.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_mknodat,
];

#[cfg(target_arch = "x86_64")]
const OF_COMMANDS_HERE: &[c_long] = &[libc::SYS_modify_ldt, libc::SYS_mknod, libc::SYS_uselib, libc::SYS_ustat];
#[cfg(not(target_arch = "x86_64"))]
const OF_COMMANDS_HERE: &[c_long] = &[];

/// What marks a call of the x32 interface, which has the same architecture: linux/unistd.h, `__X32_SYSCALL_BIT`. No
/// architecture has calls of its own from there on.
const OTHER_INTERFACE: u32 = 0x4000_0000;

/// As many rules are tried one after the other.
const WALKED: usize = 8;

/// Steps of a filter; linux/bpf_common.h.
const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_FROM: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// Flags of clone(2) that make a namespace.
const NAMESPACES: [c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// The types of internet sockets that are not a stream: datagrams, raw, reliable and ordered datagrams.
const NOT_STREAMS: [c_int; 4] = [libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET];

/// Refuses all threads of this process what no daemon needs.
pub(super) fn restrict() -> Result<(), Error> {
    // clone3(2) passes its flags where no filter can read them. The C library then takes clone(2).
    apply_filter_all_threads(&program([(libc::SYS_clone3, Vec::new())].into(), libc::ENOSYS)?)?;
    apply_filter_all_threads(&program(refused()?, libc::EPERM)?)
}

/// Refuses all threads of this process, and what they execute, what no everyday command needs.
pub(super) fn restrict_commands() -> Result<(), Error> {
    apply_filter_all_threads(&program(always(&[OF_NOBODY, OF_NOBODY_HERE]), libc::EPERM)?)
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

fn program(rules: Rules, errno: c_int) -> Result<BpfProgram, Error> {
    Ok(refuse_other_interface().into_iter().chain(searched(rules, errno)?).collect())
}

/// Refuses x32 as a kernel without it does. To refuse each call in both interfaces would make the filter twice as long.
fn refuse_other_interface() -> [sock_filter; 3] {
    [
        number(),
        step(JUMP_FROM, 1, OTHER_INTERFACE),
        step(RETURN, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()),
    ]
}

/// A filter that takes few steps for any call: the kernel goes through it for every call that there is when it takes it,
/// and from one end to the other that would be a tenth of a start.
fn searched(mut below: Rules, errno: c_int) -> Result<BpfProgram, Error> {
    let Some(&middle) = below.keys().nth(below.len() / 2).filter(|_| below.len() > WALKED) else {
        return walked(below, errno);
    };
    let above = searched(below.split_off(&middle), errno)?;
    let below = searched(below, errno)?;
    let number_is_above = step(JUMP_FROM, 1, u32::try_from(middle).unwrap_or_default());
    // A conditional jump goes no further than 255 steps.
    let pass_below = step(JUMP, 0, u32::try_from(below.len()).unwrap_or_default());
    Ok([number(), number_is_above, pass_below].into_iter().chain(below).chain(above).collect())
}

fn walked(rules: Rules, errno: c_int) -> Result<BpfProgram, Error> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(Error::Backend)?;
    let errno = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, architecture);
    filter.and_then(BpfProgram::try_from).map_err(Error::Backend)
}

/// Loads the number of the call.
fn number() -> sock_filter {
    let at = u32::try_from(std::mem::offset_of!(libc::seccomp_data, nr)).unwrap_or_default();
    step(LOAD, 0, at)
}

/// One step of a filter; where it is a condition that does not hold, it `skips` so many.
fn step(code: u32, skips: u8, k: u32) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt: 0, jf: skips, k }
}

/// These, whatever they are called with.
fn always(lists: &[&[c_long]]) -> Rules {
    lists.iter().copied().flatten().map(|call| (*call, Vec::new())).collect()
}

fn refused() -> Result<Rules, Error> {
    let mut rules = always(&[OF_NOBODY, OF_NOBODY_HERE, OF_COMMANDS, OF_COMMANDS_HERE]);
    let namespace = |flag: &c_int| rule(&[(0, Is::With(*flag), *flag)]);
    rules.insert(libc::SYS_clone, NAMESPACES.iter().map(namespace).collect::<Result<_, _>>()?);
    // Local ones, and streams for the port on the loopback address.
    let mut sockets = vec![rule(&[(0, Is::Not, AF_UNIX), (0, Is::Not, AF_INET), (0, Is::Not, AF_INET6)])?];
    for kind in NOT_STREAMS {
        sockets.push(rule(&[(0, Is::Not, AF_UNIX), (1, Is::With(0xf), kind)])?);
    }
    debug_assert!(!NOT_STREAMS.contains(&SOCK_STREAM));
    rules.insert(libc::SYS_socket, sockets);
    // What it typed there would be executed by whoever reads that terminal.
    let typed = i32::try_from(libc::TIOCSTI).unwrap_or_default();
    rules.insert(libc::SYS_ioctl, vec![rule(&[(1, Is::Equal, typed)])?]);
    Ok(rules)
}

/// How an argument compares.
enum Is {
    Equal,
    Not,
    /// Under this mask.
    With(c_int),
}

/// All of the conditions together: number of the argument, comparison, value.
fn rule(conditions: &[(u8, Is, c_int)]) -> Result<SeccompRule, Error> {
    let condition = |(argument, is, value): &(u8, Is, c_int)| {
        let unsigned = |value: c_int| u64::from(u32::from_ne_bytes(value.to_ne_bytes()));
        let operator = match is {
            Is::Equal => SeccompCmpOp::Eq,
            Is::Not => SeccompCmpOp::Ne,
            Is::With(mask) => SeccompCmpOp::MaskedEq(unsigned(*mask)),
        };
        SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, operator, unsigned(*value))
    };
    let conditions = conditions.iter().map(condition).collect::<Result<_, _>>();
    conditions.and_then(SeccompRule::new).map_err(Error::Backend)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps that the library's filters have besides.
    const MASK: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
    const JUMP_AT: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const JUMP_PAST: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;

    /// What a filter says to a call with these arguments, and after how many steps, as the kernel goes through it.
    fn verdict(filter: &[sock_filter], call: u32, arguments: [u32; 2]) -> (u32, usize) {
        // The architecture that a filter of the library asks for first.
        let words = [call, walked(Rules::new(), 1).unwrap()[1].k, 0, 0, arguments[0], 0, arguments[1], 0];
        let (mut at, mut held, mut steps) = (0, 0, 0);
        loop {
            let step = &filter[at];
            let jump = |holds| usize::from(if holds { step.jt } else { step.jf });
            (at, steps) = (at + 1, steps + 1);
            match u32::from(step.code) {
                LOAD => held = words.get(step.k as usize / 4).copied().unwrap_or(0),
                MASK => held &= step.k,
                JUMP => at += step.k as usize,
                JUMP_AT => at += jump(held == step.k),
                JUMP_PAST => at += jump(held > step.k),
                JUMP_FROM => at += jump(held >= step.k),
                RETURN => return (step.k, steps),
                other => panic!("step {at}: {other:#x}"),
            }
        }
    }

    #[test]
    fn a_filter_that_is_searched_says_what_one_that_is_walked_through_says() {
        let (searched, walked) = (searched(refused().unwrap(), 1).unwrap(), walked(refused().unwrap(), 1).unwrap());
        let number = |call: c_long| u32::try_from(call).unwrap();
        for call in 0..1000 {
            for arguments in [[0, 0], [2, 2], [16, 3], [0x0002_0000, 0], [10, 0x5412]] {
                let (said, steps) = verdict(&searched, call, arguments);
                assert_eq!(said, verdict(&walked, call, arguments).0, "{call} {arguments:?}");
                assert!(steps < 60, "{call}: {steps} steps");
            }
        }
        let refuses = libc::SECCOMP_RET_ERRNO | 1;
        assert_eq!(verdict(&searched, number(libc::SYS_bpf), [0, 0]).0, refuses);
        assert_eq!(verdict(&searched, number(libc::SYS_socket), [2, 2]).0, refuses, "datagrams of the internet");
        assert_eq!(verdict(&searched, number(libc::SYS_openat), [0, 0]).0, libc::SECCOMP_RET_ALLOW);
    }
}
