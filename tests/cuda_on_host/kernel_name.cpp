/* The names of kernels, which have internal linkage: from the symbol table of the file that the
 * kernel was loaded from. Looked up for error sentences only. */
#include "block.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace on_host
{

namespace
{

/* The name of the function at an address, as the linker knows it; empty if the file has no table.
 */
std::string symbol_at(const char *image, ElfW(Addr) address)
{
    const ElfW(Ehdr) *header = reinterpret_cast<const ElfW(Ehdr) *>(image);
    const ElfW(Shdr) *sections = reinterpret_cast<const ElfW(Shdr) *>(image + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB) {
            continue;
        }
        const char *names = image + sections[sections[i].sh_link].sh_offset;
        const ElfW(Sym) *symbols =
            reinterpret_cast<const ElfW(Sym) *>(image + sections[i].sh_offset);
        for (size_t j = 0; j < sections[i].sh_size / sizeof *symbols; j++) {
            if (symbols[j].st_value == address && (symbols[j].st_info & 0xF) == STT_FUNC) {
                return names + symbols[j].st_name;
            }
        }
    }
    return "";
}

/* "void on_host::(anonymous namespace)::k_rows<8>(int)" to "k_rows<8>" */
std::string shorten(const std::string &symbol)
{
    int status = 0;
    char *demangled = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
    std::string name = demangled != nullptr ? demangled : symbol;
    free(demangled);
    size_t begin = name.find("k_");
    if (begin == std::string::npos) {
        return name;
    }
    int depth = 0;
    size_t end = begin;
    while (end < name.size() && (depth > 0 || name[end] != '(')) {
        depth += name[end] == '<' ? 1 : name[end] == '>' ? -1 : 0;
        end++;
    }
    return name.substr(begin, end - begin);
}

} // namespace

std::string kernel_name(const void *kernel)
{
    Dl_info file;
    void *map = nullptr;
    char fallback[32];
    snprintf(fallback, sizeof fallback, "kernel %p", kernel);
    if (dladdr1(kernel, &file, &map, RTLD_DL_LINKMAP) == 0) {
        return fallback;
    }
    const link_map *loaded = static_cast<const link_map *>(map);
    const char *path = loaded->l_name[0] != '\0' ? loaded->l_name : "/proc/self/exe";
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) != 0) {
        return fallback;
    }
    size_t n_bytes = static_cast<size_t>(status.st_size);
    void *image = mmap(nullptr, n_bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
    close(descriptor);
    if (image == MAP_FAILED) {
        return fallback;
    }
    ElfW(Addr) address = reinterpret_cast<ElfW(Addr)>(kernel) - loaded->l_addr;
    std::string symbol = symbol_at(static_cast<const char *>(image), address);
    munmap(image, n_bytes);
    return symbol.empty() ? fallback : shorten(symbol);
}

} // namespace on_host
