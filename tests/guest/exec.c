/* exec: arguments, environment, auxiliary vector, scripts, what survives, and what is refused. */
#include "guest.h"
#include <elf.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

static char self[300];

static int run(char *const arguments[], char *const environment[])
{
    int status;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        execve(self, arguments, environment);
        _exit(errno == E2BIG ? 201 : 202);
    }
    waitpid(child, &status, 0);
    return status;
}

/* Where /proc/self/exe leads, from the last slash on. */
static void show_self(const char *what)
{
    char path[400];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

    path[length < 0 ? 0 : length] = '\0';
    printf("  %s: %s\n", what, strrchr(path, '/') != NULL ? strrchr(path, '/') : path);
}

/* Removes its own file, and executes itself once more. */
static int removed(bool again, char **arguments)
{
    char magic[SELFMAG] = "";
    int file;

    show_self(again ? "executed again" : "before");
    if (!again) {
        must(unlink("program") == 0, "program");
        show_self("its file removed");
    }
    file = open("/proc/self/exe", O_RDONLY);
    printf("  can be read %d\n",
           read(file, magic, SELFMAG) == SELFMAG && memcmp(magic, ELFMAG, SELFMAG) == 0);
    close(file);
    if (again)
        return 7;
    arguments[1] = "removed again";
    fflush(stdout);
    execve("/proc/self/exe", arguments, NULL);
    return 98;
}

/* What the program does when it is executed by itself. */
static int executed(int count, char **arguments, char **environment)
{
    const char *what = arguments[1];

    if (strcmp(what, "words") == 0) {
        for (int i = 0; i < count; i++)
            printf("  argument %d \"%s\"\n", i, i == 0 ? "-" : arguments[i]);
        for (int i = 0; environment[i]; i++)
            printf("  environment \"%s\"\n", environment[i]);
        return 21;
    }
    if (strcmp(what, "auxv") == 0) {
        const Elf64_Phdr *headers = (const Elf64_Phdr *)getauxval(AT_PHDR);
        const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
        unsigned sum = 0;
        for (int i = 0; i < 16; i++)
            sum |= random[i];
        printf("  page size %lu, header size %lu, headers there %d\n", getauxval(AT_PAGESZ),
               getauxval(AT_PHENT), headers != NULL && getauxval(AT_PHNUM) > 2);
        printf("  entry in the text %d, random bytes %d, secure %lu\n", getauxval(AT_ENTRY) > 0x1000,
               sum != 0, getauxval(AT_SECURE));
        printf("  ids %d, clock %lu, platform %s\n",
               getauxval(AT_UID) == getuid() && getauxval(AT_EGID) == getegid(), getauxval(AT_CLKTCK),
               (const char *)getauxval(AT_PLATFORM));
        printf("  name %d\n", getauxval(AT_EXECFN) != 0);
        printf("  stack is aligned %d\n", ((uintptr_t)(arguments - 1) & 15) == 0);
        return 0;
    }
    if (strcmp(what, "state") == 0) {
        struct sigaction usr1, usr2;
        sigset_t mask;
        stack_t stack;
        sigaction(SIGUSR1, NULL, &usr1);
        sigaction(SIGUSR2, NULL, &usr2);
        sigprocmask(SIG_SETMASK, NULL, &mask);
        sigaltstack(NULL, &stack);
        printf("  handler is default %d, ignored stays %d, mask stays %d, no signal stack %d\n",
               usr1.sa_handler == SIG_DFL, usr2.sa_handler == SIG_IGN, sigismember(&mask, SIGHUP),
               stack.ss_flags == SS_DISABLE);
        printf("  descriptor 20 %d, descriptor 21 %d\n", fcntl(20, F_GETFD) >= 0, fcntl(21, F_GETFD) >= 0);
        printf("  memory of the old program %d\n", can_read((void *)0x123450000));
        char name[16] = "";
        prctl(PR_GET_NAME, name);
        printf("  name set from the file %d\n", strcmp(name, "before") != 0);
        return 0;
    }
    if (strcmp(what, "count") == 0) {
        size_t bytes = 0;
        for (int i = 0; i < count; i++)
            bytes += strlen(arguments[i]);
        printf("  %d arguments, %zu bytes\n", count - 1, bytes - strlen(arguments[0]));
        return 0;
    }
    if (strncmp(what, "removed", 7) == 0)
        return removed(what[7] != '\0', arguments);
    return 99;
}

static void words(void)
{
    char *many[] = {"exec", "words", "", "a b", "\"quoted\"", "last", NULL};
    char *environment[] = {"A=1", "EMPTY=", "NO_EQUALS", NULL};
    char *none[] = {NULL};
    char *auxv[] = {"exec", "auxv", NULL};

    part("arguments and environment");
    show_status("status", run(many, environment));
    show_status("no environment", run((char *[]){"exec", "words", NULL}, none));
    show_status("environment NULL", run((char *[]){"exec", "words", NULL}, NULL));

    part("auxiliary vector");
    show_status("status", run(auxv, none));
}

static void survives(void)
{
    char *arguments[] = {"exec", "state", NULL};
    char *none[] = {NULL};
    static char other[65536];
    int status;

    part("what survives");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct sigaction action = {.sa_handler = (void (*)(int))(uintptr_t)0x1234};
        sigset_t mask;
        stack_t stack = {.ss_sp = other, .ss_size = sizeof other};

        sigaction(SIGUSR1, &action, NULL);
        signal(SIGUSR2, SIG_IGN);
        sigemptyset(&mask);
        sigaddset(&mask, SIGHUP);
        sigprocmask(SIG_SETMASK, &mask, NULL);
        sigaltstack(&stack, NULL);
        dup2(1, 20);
        dup3(1, 21, O_CLOEXEC);
        prctl(PR_SET_NAME, "before");
        mmap((void *)0x123450000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        execve(self, arguments, none);
        _exit(200);
    }
    waitpid(child, &status, 0);
    show_status("status", status);
}

static void sizes(void)
{
    enum { COUNT = 5000 };
    static char *many[COUNT + 3];
    static char text[64];
    char *none[] = {NULL};

    part("sizes");
    memset(text, 'x', sizeof text - 1);
    many[0] = "exec";
    many[1] = "count";
    for (int i = 0; i < COUNT; i++)
        many[i + 2] = text;
    show_status("5000 arguments", run(many, none));
    char *large = malloc(131072 + 1);
    memset(large, 'y', 131072);
    large[131071] = '\0';
    show_status("one of 131071 bytes", run((char *[]){"exec", "count", large, NULL}, none));
    large[131071] = 'y';
    large[131072] = '\0';
    show_status("one of 131072 bytes", run((char *[]){"exec", "count", large, NULL}, none));
    large[131071] = '\0';
    static char *hundred[200];
    hundred[0] = "exec";
    hundred[1] = "count";
    for (int i = 2; i < 198; i++)
        hundred[i] = large;
    show_status("24 MB", run(hundred, none));
    free(large);
}

static void write_file(const char *name, const void *bytes, size_t length, mode_t mode)
{
    int file = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0700);

    must(file >= 0 && write(file, bytes, length) == (ssize_t)length, name);
    fchmod(file, mode);
    close(file);
}

static void show_exec(const char *what, const char *name)
{
    char *arguments[] = {"name", "from", "exec", NULL};
    char *none[] = {NULL};
    int status;
    int ends[2];
    int error = 0;

    must(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execve(name, arguments, none);
        error = errno;
        (void)!write(ends[1], &error, sizeof error);
        _exit(0);
    }
    close(ends[1]);
    if (read(ends[0], &error, sizeof error) == sizeof error)
        printf("%s: %s\n", what, error_name(error));
    waitpid(child, &status, 0);
    if (error == 0)
        show_status(what, status);
    close(ends[0]);
}

/* A copy of the program whose file goes while it runs. */
static void removes_itself(void)
{
    int from = open(self, O_RDONLY), to = open("program", O_CREAT | O_WRONLY, 0755), status;
    char block[4096];
    ssize_t bytes;

    part("its file removed");
    while ((bytes = read(from, block, sizeof block)) > 0)
        must(write(to, block, (size_t)bytes) == bytes, "program");
    close(from);
    close(to);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execve("./program", (char *[]){"program", "removed", NULL}, NULL);
        _exit(200);
    }
    waitpid(child, &status, 0);
    show_status("status", status);
}

static void scripts(void)
{
    char line[600];

    part("scripts");
    int length = snprintf(line, sizeof line, "#!%s words\nrest\n", self);
    write_file("s1", line, (size_t)length, 0755);
    show_exec("one argument", "./s1");
    length = snprintf(line, sizeof line, "#! \t%s   words  two parts \n", self);
    write_file("s2", line, (size_t)length, 0755);
    show_exec("blanks", "./s2");
    write_file("s3", "#!/no/such/program\n", 19, 0755);
    show_exec("missing interpreter", "./s3");
    write_file("s4", "#!\n", 3, 0755);
    show_exec("no interpreter", "./s4");
    write_file("s5", "#!./s1\n", 7, 0755);
    show_exec("a script as the interpreter", "./s5");
    write_file("s6", "#!./s6\n", 7, 0755);
    show_exec("itself as the interpreter", "./s6");
}

static void bad_files(void)
{
    static char text[] = "just text\n";
    Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                         .e_type = ET_EXEC,
                         .e_machine = EM_X86_64,
                         .e_version = EV_CURRENT,
                         .e_phoff = sizeof(Elf64_Ehdr),
                         .e_ehsize = sizeof(Elf64_Ehdr),
                         .e_phentsize = sizeof(Elf64_Phdr)};
    Elf64_Ehdr bad;

    part("what cannot be executed");
    show_exec("not there", "./none");
    show_exec("a directory", "/tmp");
    show_exec("below a file", "/proc/self/exe/x");
    write_file("f", text, sizeof text - 1, 0644);
    show_exec("not executable", "./f");
    write_file("f", text, sizeof text - 1, 0755);
    show_exec("text", "./f");
    write_file("f", "", 0, 0755);
    show_exec("empty", "./f");
    write_file("f", &header, 4, 0755);
    show_exec("the magic number alone", "./f");
    write_file("f", &header, sizeof header, 0755);
    show_exec("no segments", "./f");
    bad = header;
    bad.e_machine = EM_AARCH64;
    write_file("f", &bad, sizeof bad, 0755);
    show_exec("another machine", "./f");
    bad = header;
    bad.e_type = ET_REL;
    write_file("f", &bad, sizeof bad, 0755);
    show_exec("an object file", "./f");
    bad = header;
    bad.e_phnum = 5;
    write_file("f", &bad, sizeof bad, 0755);
    show_exec("program headers missing", "./f");
    bad = header;
    bad.e_phnum = 1;
    bad.e_phentsize = 7;
    write_file("f", &bad, sizeof bad, 0755);
    show_exec("odd header size", "./f");
    show_exec("empty path", "");
    int file = open("f", O_RDWR);
    (void)file;
    show_exec("a name with a slash at the end", "./f/");
}

int main(int count, char **arguments, char **environment)
{
    if (count > 1)
        return executed(count, arguments, environment);
    must(readlink("/proc/self/exe", self, sizeof self - 1) > 0, "/proc/self/exe");
    scratch_enter();
    words();
    survives();
    sizes();
    removes_itself();
    scripts();
    bad_files();
    scratch_leave();
    return 0;
}
