"""What a process or command says by its exit code; those from 64 on are of sysexits.h."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 69
EXIT_INTERNAL = 70
EXIT_NOT_YET = 75
EXIT_NOT_PERMITTED = 77
EXIT_CONFIG = 78
