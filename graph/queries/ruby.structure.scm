; Definitions, documentation, files required and the types of variables. Captures: see backstory/graph/parse.py.

(class name: [(constant) (scope_resolution)] @name) @class
(class name: [(constant) (scope_resolution)] @name superclass: (_) body: (_) @body) @class
(class name: [(constant) (scope_resolution)] @name !superclass body: (_) @body) @class
(module name: [(constant) (scope_resolution)] @name) @class
(module name: [(constant) (scope_resolution)] @name body: (_) @body) @class
((assignment left: (constant) @name right: (call receiver: (constant) @maker method: (identifier) block: (_) @body)) @class
  (#match? @maker "^(Struct|Class|Module|Data)$"))
(method name: (_) @name) @function
(method name: (_) @name body: (_) @body) @function
(singleton_method name: (_) @name) @function
(singleton_method name: (_) @name body: (_) @body) @function

((comment) @doc (#match? @doc "^#"))

((call !receiver method: (identifier) @requires arguments: (argument_list . (string (string_content) @import.module))) @import
  (#match? @requires "^(require|require_relative|load)$"))
((call !receiver method: (identifier) @requires arguments: (argument_list . (simple_symbol) . (string (string_content) @import.module))) @import
  (#eq? @requires "autoload"))

(assignment left: [(identifier) (instance_variable)] @typed right: (call) @made)
(operator_assignment left: [(identifier) (instance_variable)] @typed right: (call) @made)
(optional_parameter name: (identifier) @typed value: (call) @made)
